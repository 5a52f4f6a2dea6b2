"""MatterGen for amorphous materials."""
