"""Every causal network, small."""

from functools import partial

from lightning_gen.nets.autoregressive.diagonal_bilstm import DiagonalBiLSTM
from lightning_gen.nets.autoregressive.gated_pixelcnn import GatedPixelCNN
from lightning_gen.nets.autoregressive.image_transformer import ImageTransformer
from lightning_gen.nets.autoregressive.pixelcnn import PixelCNN
from lightning_gen.nets.autoregressive.pixelcnnpp import PixelCNNpp
from lightning_gen.nets.autoregressive.row_lstm import RowLSTM

#: every causal network: CausalSpec -> net
CASES = {
    "gated": partial(GatedPixelCNN, width=18, layers=4, kernel=5),
    "gated, kernel 3": partial(GatedPixelCNN, width=18, layers=6, kernel=3, dropout=0.2),
    "masked": partial(PixelCNN, width=9, blocks=3, kernel=5, dropout=0.2),
    "pixelcnn++": partial(PixelCNNpp, width=8, blocks=2, stages=2, dropout=0.2),
    "pixelcnn++, three stages": partial(PixelCNNpp, width=8, blocks=1, stages=3),
    "row lstm": partial(RowLSTM, width=6, layers=2, kernel=3),
    "diagonal bilstm": partial(DiagonalBiLSTM, width=6, layers=2, kernel=3),
    "diagonal bilstm, one layer": partial(DiagonalBiLSTM, width=6, layers=1, kernel=3),
    "transformer": partial(ImageTransformer, width=12, layers=2, heads=2, kernel=3, dropout=0.2),
}
WITH_A_BLIND_SPOT = {"masked", "row lstm"}
#: the channels of a pixel are left to the likelihood
WHOLE_PIXELS = {"pixelcnn++", "pixelcnn++, three stages"}
