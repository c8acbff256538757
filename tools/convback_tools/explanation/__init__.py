"""Every term of one entry of y, dx, dw or db: which factors meet, and why others do not."""
