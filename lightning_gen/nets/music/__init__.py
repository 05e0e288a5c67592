"""Networks for bars of melody."""
