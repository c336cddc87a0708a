"""The verbs, one module each: what an embedder calls and the command line shows. They read and write files."""
