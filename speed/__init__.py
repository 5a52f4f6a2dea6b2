"""How fast this machine computes the networks, by every path."""
