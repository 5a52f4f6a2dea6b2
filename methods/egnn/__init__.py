"""The equivariant graph neural network and the kernels that compute it."""
