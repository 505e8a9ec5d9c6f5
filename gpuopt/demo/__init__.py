"""The demo: variants of gradient descent on real handwritten digits."""
