"""What a matrix may be: a module a structure, each with its sizes, its numbers and its ONNX nodes.

Standard ops only, in the form that is fastest in onnxruntime. What decides (one thread): a node takes
about half a microsecond; 2-D constants are prepacked and 3-D ones are not, so that Gemms beat batched
products where they are large; a sum is free inside a Gemm.
"""
