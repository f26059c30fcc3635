"""Roads of OpenStreetMap: tiles built of an extract, and traces matched to them by Valhalla. An optional service."""
