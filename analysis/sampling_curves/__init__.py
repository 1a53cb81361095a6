"""FID against CLIP over guidance, and both over sampling steps."""
