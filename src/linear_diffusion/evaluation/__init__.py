"""How good are samples? Every measure beside what real images score on it, so that it has a scale.

    fidelity.py       do they look like real images of their prompt?     Fréchet distance, prompt accuracy
    inception.py      the same, by the field's network                    FID, where its weights are at hand
    diversity.py      are they as varied?                                 precision, recall, density, coverage
    memorisation.py   are they new?                                       distance to the nearest training image
    twosample.py      can they be told from real images?                  a classifier's accuracy
    usefulness.py     can a classifier learn from them?                   accuracy on real images

`evaluate` runs them all; each is a function of arrays, too. The judges of `features.py` are trained on real images, and
`splits.py` keeps apart what judges, what is judged, and what it is compared with.
"""

from .inception import inception_features
from .report import Evaluation, Figure
from .run import evaluate
from .splits import Panel, make_panel

__all__ = ["Evaluation", "Figure", "Panel", "evaluate", "inception_features", "make_panel"]
