"""The page at `/`: plain HTML, CSS and JavaScript modules, and the JSON that they read."""
