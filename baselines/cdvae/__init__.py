"""CDVAE for amorphous materials."""
