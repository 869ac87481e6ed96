"""Other servers, in environments of their own, that the serving benchmark compares with."""
