"""The window of the deblender: a napari plugin on top of the engine `deblend`."""
