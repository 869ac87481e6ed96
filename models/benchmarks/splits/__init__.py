"""What the splits of every benchmark share: their interface, rendering and storage."""
