"""The verbs, one module each, for programs to call and for the command line. They read and write files.

A verb whose pictures can be reproduced also defines `rerun(again: Rerun)`; `reproduce` finds it by the verb's name.
"""
