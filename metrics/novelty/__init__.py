"""Resemblance of structures to given ones: fingerprints of local environments and rigid overlap of neighbourhoods."""
