"""Points, boxes, maps between pictures, and sampling along them. Nothing here knows a face or an option."""
