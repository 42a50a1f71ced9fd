"""Points, boxes, maps between images, and sampling along them. Nothing here knows a face or an option."""
