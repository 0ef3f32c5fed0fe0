"""Data: labelled pictures in any form become one array of pixels and a manifest."""
