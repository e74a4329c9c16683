"""The page that shows a model at work in the browser: its files, its server, its commands."""
