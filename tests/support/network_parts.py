"""Parts of networks by themselves, with real layers."""

from deeplab_nb.network.cost import Counter, Map
from deeplab_nb.network.layers import Layers
from deeplab_nb.network.variables import create_variables


def build(part, *inputs, kind=Layers, **options):
    """What `part(layers, *inputs)` gives, on the variables that it asks for.

    options: those of `Layers`, and of their kind.
    """
    counter = Counter()
    part(counter, *(Map(tuple(x.shape.as_list())) for x in inputs))
    return part(kind(create_variables(counter.variables), **options), *inputs)
