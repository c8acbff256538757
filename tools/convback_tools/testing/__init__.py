"""The pytest fixture `convback_case`: layers with right results, to test a convolution of one's own."""
