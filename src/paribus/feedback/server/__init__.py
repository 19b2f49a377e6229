"""The local web application in which people rate answers and compare them blindly.

What lives here: the queue of forms in one SQLite file (``database``, ``people``, ``queue``), what a task shows and asks
(``tasks``), its pages and native texts (``pages``, ``texts/``), who may come in (``security``), the application itself
(``app``, ``serving``) and the way out as records (``export``). What may not: analysis (``feedback/annotation``,
``evaluation``), models, and any request to another machine: a page is served whole from here.
"""
