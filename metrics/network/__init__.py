"""Structure of networks by class of element: partial distributions, bonds, coordination, connectivity, rings."""
