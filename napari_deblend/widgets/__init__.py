"""The dock widget: sections that show the workbench and ask it for things; none of them computes."""

from napari_deblend.widgets.dock import DeblendWidget

__all__ = ["DeblendWidget"]
