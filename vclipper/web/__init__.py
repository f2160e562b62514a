"""The local page and the REST API: ``vclip serve``.

``server`` listens, ``app`` puts the parts together, ``guard`` decides who may ask, ``routes`` answer, ``service``
holds what they share. Whatever is served belongs to a video of the library and is named by its id, never by path.
"""
