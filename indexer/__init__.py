"""From a folder of videos to searchable vectors."""
