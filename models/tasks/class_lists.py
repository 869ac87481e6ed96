"""Class names of the public data sets, as their folders and label files order them.

DomainNet: Peng et al., ICCV 2019 (the 345 classes of its split lists). PACS: Li et al., ICCV 2017.
Office-Home: Venkateswara et al., CVPR 2017. Taskonomy: Zamir et al., CVPR 2018 (its subset of
COCO's classes). Cityscapes: Cordts et al., CVPR 2016 (the 19 evaluated classes).
"""

from __future__ import annotations

__all__ = [
    "CITYSCAPES_IDS",
    "DOMAINNET_CLASSES",
    "OFFICE_HOME_CLASSES",
    "PACS_CLASSES",
    "TASKONOMY_CLASSES",
]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


DOMAINNET_CLASSES = _words(
    """
    aircraft_carrier airplane alarm_clock ambulance angel animal_migration ant anvil apple arm
    asparagus axe backpack banana bandage barn baseball baseball_bat basket basketball bat
    bathtub beach bear beard bed bee belt bench bicycle binoculars bird birthday_cake blackberry
    blueberry book boomerang bottlecap bowtie bracelet brain bread bridge broccoli broom bucket
    bulldozer bus bush butterfly cactus cake calculator calendar camel camera camouflage
    campfire candle cannon canoe car carrot castle cat ceiling_fan cello cell_phone chair
    chandelier church circle clarinet clock cloud coffee_cup compass computer cookie cooler
    couch cow crab crayon crocodile crown cruise_ship cup diamond dishwasher diving_board dog
    dolphin donut door dragon dresser drill drums duck dumbbell ear elbow elephant envelope
    eraser eye eyeglasses face fan feather fence finger fire_hydrant fireplace firetruck fish
    flamingo flashlight flip_flops floor_lamp flower flying_saucer foot fork frog frying_pan
    garden garden_hose giraffe goatee golf_club grapes grass guitar hamburger hammer hand harp
    hat headphones hedgehog helicopter helmet hexagon hockey_puck hockey_stick horse hospital
    hot_air_balloon hot_dog hot_tub hourglass house house_plant hurricane ice_cream jacket jail
    kangaroo key keyboard knee knife ladder lantern laptop leaf leg light_bulb lighter
    lighthouse lightning line lion lipstick lobster lollipop mailbox map marker matches
    megaphone mermaid microphone microwave monkey moon mosquito motorbike mountain mouse
    moustache mouth mug mushroom nail necklace nose ocean octagon octopus onion oven owl
    paintbrush paint_can palm_tree panda pants paper_clip parachute parrot passport peanut pear
    peas pencil penguin piano pickup_truck picture_frame pig pillow pineapple pizza pliers
    police_car pond pool popsicle postcard potato power_outlet purse rabbit raccoon radio rain
    rainbow rake remote_control rhinoceros rifle river roller_coaster rollerskates sailboat
    sandwich saw saxophone school_bus scissors scorpion screwdriver sea_turtle see_saw shark
    sheep shoe shorts shovel sink skateboard skull skyscraper sleeping_bag smiley_face snail
    snake snorkel snowflake snowman soccer_ball sock speedboat spider spoon spreadsheet square
    squiggle squirrel stairs star steak stereo stethoscope stitches stop_sign stove strawberry
    streetlight string_bean submarine suitcase sun swan sweater swing_set sword syringe table
    teapot teddy-bear telephone television tennis_racquet tent The_Eiffel_Tower
    The_Great_Wall_of_China The_Mona_Lisa tiger toaster toe toilet tooth toothbrush toothpaste
    tornado tractor traffic_light train tree triangle trombone truck trumpet t-shirt umbrella
    underwear van vase violin washing_machine watermelon waterslide whale wheel windmill
    wine_bottle wine_glass wristwatch yoga zebra zigzag
    """
)

PACS_CLASSES = ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person")

OFFICE_HOME_CLASSES = _words(
    """
    Alarm_Clock Backpack Batteries Bed Bike Bottle Bucket Calculator Calendar Candles Chair
    Clipboards Computer Couch Curtains Desk_Lamp Drill Eraser Exit_Sign Fan File_Cabinet
    Flipflops Flowers Folder Fork Glasses Hammer Helmet Kettle Keyboard Knives Lamp_Shade Laptop
    Marker Monitor Mop Mouse Mug Notebook Oven Pan Paper_Clip Pen Pencil Postit_Notes Printer
    Push_Pin Radio Refrigerator Ruler Scissors Screwdriver Shelf Sink Sneakers Soda Speaker
    Spoon TV Table Telephone ToothBrush Toys Trash_Can Webcam
    """
)

TASKONOMY_CLASSES = (
    "background", "bottle", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase",
)  # fmt: skip
"""the stored value is one more; 0 is "uncertain" and carries no label"""

CITYSCAPES_IDS = {
    "road": 7, "sidewalk": 8, "building": 11, "wall": 12, "fence": 13, "pole": 17,
    "traffic light": 19, "traffic sign": 20, "vegetation": 21, "terrain": 22, "sky": 23,
    "person": 24, "rider": 25, "car": 26, "truck": 27, "bus": 28, "train": 31,
    "motorcycle": 32, "bicycle": 33,
}  # fmt: skip
"""stored value of each class in a labelIds picture; the others carry no label"""
