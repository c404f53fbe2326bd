"""One file a family: a frozen recipe that names its parts."""
