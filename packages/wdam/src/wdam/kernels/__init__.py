"""The CUDA kernels: compiled at first use with NVRTC, kept on disk, launched on PyTorch's current stream.

Nothing here is imported before a CUDA tensor arrives, and ``cuda.core`` not before a kernel is wanted.

========================  ============================================================================
:mod:`.compile`           which kernel from which source, and NVRTC
:mod:`.cache`             compiled kernels on disk, safe for many processes and any disk
:mod:`.device`            load a compiled kernel and launch it on the stream that PyTorch is using
:mod:`.launch`            the passes of WDAM as functions of tensors
:mod:`.transforms`        the wavelet transforms as functions of tensors
:mod:`.transform_ops`     those as ``torch.library`` operators, differentiable to any order
========================  ============================================================================
"""
