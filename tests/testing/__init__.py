"""The conformance kit itself."""
