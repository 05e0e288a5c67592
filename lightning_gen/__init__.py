"""lightning-gen: every classic family of generative image models under one command, one evaluation, one dashboard.

The house, floor by floor (a test enforces that imports only point downward):

    cli                                      the one command
    launch, runs                             sweeps and clusters; the run folder and its comparison
    callbacks, tasks                         what happens around training; what a trained model is for
    evaluation                               the one protocol behind callbacks and `lightning-gen evaluate`
    models          data         metrics     one paper one file; image sets; distances over uint8 batches
    nets, losses, distributions, bijections  base: the contracts
    images, files, errors                    the image spec; atomic files; one plain line
"""

__version__ = "0.1.0"
