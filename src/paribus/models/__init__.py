"""Models: architectures as ``PreTrainedModel``s, how large they are, what they cost, and how to load any of them.

What lives here: one file per architecture (``decoder``, ``mixture``, ``sequence``) and the parts they are made of
(``norms``, ``rotary``, ``mixture_config``, ``mixture_attention``, ``experts``, ``routing``; for small sequence models
``sequence_config`` and one file per mixer or family: ``sequence_attention``, ``recurrent``, ``state_space``,
``retention``, ``rwkv``, ``hyena``, with ``linear_attention`` and ``convolution`` beneath them), ``shapes``,
``sequence_shape`` and ``count`` (parameters, FLOPs, state), ``load`` (directories and hub ids, safetensors only). What
may not: training loops, generation, data, and anything that knows stages or studies.
"""
