"""Models: architectures as ``PreTrainedModel``s, how large they are, what they cost, and how to load any of them.

What lives here: one file per architecture (``decoder``, ``mixture``) and the parts they are made of (``norms``,
``rotary``, ``mixture_config``, ``mixture_attention``, ``experts``, ``routing``), ``shapes`` and ``count`` (parameters
and FLOPs), ``load`` (directories and hub ids, safetensors only). What may not: training loops, generation, data, and
anything that knows stages or studies.
"""
