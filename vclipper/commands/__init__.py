"""The commands of ``vclip``, one file a subject; each parses, makes one ``Library`` call and prints."""
