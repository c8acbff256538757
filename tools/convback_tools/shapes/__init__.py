"""`convback shape`: shapes of a layer from its parameters, and back; and the layer in the words of other libraries."""
