"""`make mutants`: would the fast tests notice if the product did something else?"""
