"""The operations that are let in, and what their attributes may be.

A list of what is refused can never be complete, so this is a list of what is
let in. Every operation here was judged for what it does: it computes with its
inputs, and opens no file, no connection and no other process.
`test_every_operation_of_tensorflow_was_judged` fails for one that is neither
here nor in `refusals.py`.
"""

# A table of names is easier to read without quotes.
# ruff: noqa: SIM905

import math
import re

import tensorflow as tf

from keras_port.tf1.graph.read import protos

# Variables. They become those of Keras, and their operations are traced.
VARIABLES = frozenset(
    """
    Assign AssignAdd AssignAddVariableOp AssignSub AssignSubVariableOp
    AssignVariableOp IsVariableInitialized ReadVariableOp RefIdentity
    ResourceGather ResourceGatherNd ResourceScatterAdd ResourceScatterDiv
    ResourceScatterMax ResourceScatterMin ResourceScatterMul
    ResourceScatterNdAdd ResourceScatterNdMax ResourceScatterNdMin
    ResourceScatterNdSub ResourceScatterNdUpdate ResourceScatterSub
    ResourceScatterUpdate ResourceStridedSliceAssign ScatterAdd ScatterDiv
    ScatterMax ScatterMin ScatterMul ScatterNdAdd ScatterNdMax ScatterNdMin
    ScatterNdSub ScatterNdUpdate ScatterSub ScatterUpdate StridedSliceAssign
    VarHandleOp VarIsInitializedOp Variable VariableShape VariableV2
    """.split()
)
# Conditions, loops, calls and checks.
CONTROL_FLOW = frozenset(
    """
    Assert Case CheckNumerics CheckNumericsV2 ControlTrigger Enter Exit
    FakeParam GuaranteeConst If LoopCond Merge NextIteration NoOp
    OptionalFromValue OptionalGetValue OptionalHasValue OptionalNone
    PartitionedCall PlaceholderWithDefault PreventGradient Print PrintV2
    RefEnter RefSwitch Snapshot StatefulPartitionedCall StatelessCase
    StatelessIf StatelessWhile StopGradient Switch ToBool While
    """.split()
)
# Constants, shapes, and moving elements around.
ARRAYS = frozenset(
    """
    BatchMatrixBandPart BatchMatrixDiag BatchMatrixDiagPart
    BatchMatrixSetDiag Bitcast BroadcastArgs BroadcastGradientArgs
    BroadcastTo Bucketize Cast Concat ConcatOffset ConcatV2
    ConjugateTranspose Const DataFormatDimMap DataFormatVecPermute DeepCopy
    DenseToDenseSetOperation DenseToSparseSetOperation Diag DiagPart
    DynamicPartition DynamicStitch EditDistance EmptyTensorList EnsureShape
    ExpandDims Fill Fingerprint Gather GatherNd GatherV2 Identity IdentityN
    InvertPermutation LinSpace ListDiff LowerBound MatrixBandPart MatrixDiag
    MatrixDiagPart MatrixDiagPartV2 MatrixDiagPartV3 MatrixDiagV2
    MatrixDiagV3 MatrixSetDiag MatrixSetDiagV2 MatrixSetDiagV3 MirrorPad
    MirrorPadGrad OneHot OnesLike Pack Pad PadV2 ParallelConcat
    ParallelDynamicStitch Range Rank Reshape Reverse ReverseSequence
    ReverseV2 Roll ScatterNd ScatterNdNonAliasingAdd Select SelectV2 SetSize
    Shape ShapeN Size Slice SparseToSparseSetOperation Split SplitV Squeeze
    StridedSlice StridedSliceGrad TensorArrayCloseV3 TensorArrayConcatV3
    TensorArrayGatherV3 TensorArrayReadV3 TensorArrayScatterV3
    TensorArraySizeV3 TensorArraySplitV3 TensorArrayV3 TensorArrayWriteV3
    TensorListConcat TensorListConcatLists TensorListConcatV2
    TensorListElementShape TensorListFromTensor TensorListGather
    TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack
    TensorListPushBackBatch TensorListReserve TensorListResize
    TensorListScatter TensorListScatterIntoExistingList TensorListScatterV2
    TensorListSetItem TensorListSplit TensorListStack TensorScatterAdd
    TensorScatterMax TensorScatterMin TensorScatterSub TensorScatterUpdate
    TensorStridedSliceUpdate Tile TileGrad Transpose Unique UniqueV2
    UniqueWithCounts UniqueWithCountsV2 Unpack UnravelIndex UpperBound Where
    ZerosLike
    """.split()
)
# Functions of numbers, element by element or over axes.
MATHS = frozenset(
    """
    Abs AccumulateNV2 Acos Acosh Add AddN AddV2 All Angle Any
    ApproximateEqual ArgMax ArgMin Asin Asinh Atan Atan2 Atanh BesselI0
    BesselI0e BesselI1 BesselI1e BesselJ0 BesselJ1 BesselK0 BesselK0e
    BesselK1 BesselK1e BesselY0 BesselY1 Betainc Bincount BitwiseAnd
    BitwiseOr BitwiseXor Ceil ClipByValue Complex ComplexAbs Conj Cos Cosh
    Cross Cumprod Cumsum CumulativeLogsumexp Dawsn DenseBincount Digamma Div
    DivNoNan Equal Erf Erfc Erfinv EuclideanNorm Exp Expint Expm1 Floor
    FloorDiv FloorMod FresnelCos FresnelSin Greater GreaterEqual
    HistogramFixedWidth Igamma IgammaGradA Igammac Imag Inv InvGrad Invert
    IsFinite IsInf IsNan L2Loss LeftShift Less LessEqual Lgamma Log Log1p
    LogicalAnd LogicalNot LogicalOr Max Maximum Mean Min Minimum Mod Mul
    MulNoNan Ndtri NearestNeighbors Neg NextAfter NotEqual NthElement
    Polygamma PopulationCount Pow Prod Real RealDiv Reciprocal
    ReciprocalGrad RightShift Rint Round Rsqrt RsqrtGrad SegmentMax
    SegmentMaxV2 SegmentMean SegmentMin SegmentMinV2 SegmentProd
    SegmentProdV2 SegmentSum SegmentSumV2 Sign Sin Sinh Spence Sqrt SqrtGrad
    Square SquaredDifference Sub Sum Tan Tanh TanhGrad TopK TopKV2
    TruncateDiv TruncateMod UnsortedSegmentMax UnsortedSegmentMin
    UnsortedSegmentProd UnsortedSegmentSum Xdivy Xlog1py Xlogy Zeta
    """.split()
)
# Matrices and Fourier transforms.
LINEAR_ALGEBRA = frozenset(
    """
    BandedTriangularSolve BatchCholesky BatchCholeskyGrad BatchFFT
    BatchFFT2D BatchFFT3D BatchIFFT BatchIFFT2D BatchIFFT3D BatchMatMul
    BatchMatMulV2 BatchMatMulV3 BatchMatrixDeterminant BatchMatrixInverse
    BatchMatrixSolve BatchMatrixSolveLs BatchMatrixTriangularSolve
    BatchSelfAdjointEig BatchSelfAdjointEigV2 BatchSvd Cholesky CholeskyGrad
    Eig Einsum FFT FFT2D FFT3D IFFT IFFT2D IFFT3D IRFFT IRFFT2D IRFFT3D
    LogMatrixDeterminant Lu MatMul MatrixDeterminant MatrixExponential
    MatrixInverse MatrixLogarithm MatrixSolve MatrixSolveLs MatrixSquareRoot
    MatrixTriangularSolve Qr RFFT RFFT2D RFFT3D SelfAdjointEig
    SelfAdjointEigV2 SparseMatMul Svd TridiagonalMatMul TridiagonalSolve
    """.split()
)
# Layers of neural networks, and their gradients.
NETWORKS = frozenset(
    """
    AvgPool AvgPool3D AvgPool3DGrad AvgPoolGrad
    BatchNormWithGlobalNormalization BatchNormWithGlobalNormalizationGrad
    BatchToSpace BatchToSpaceND BiasAdd BiasAddGrad BiasAddV1 BlockLSTM
    BlockLSTMGrad BlockLSTMGradV2 BlockLSTMV2 CTCBeamSearchDecoder
    CTCGreedyDecoder CTCLoss CTCLossV2 Conv Conv2D Conv2DBackpropFilter
    Conv2DBackpropFilterV2 Conv2DBackpropInput Conv2DBackpropInputV2 Conv3D
    Conv3DBackpropFilter Conv3DBackpropFilterV2 Conv3DBackpropInput
    Conv3DBackpropInputV2 DepthToSpace DepthwiseConv2dNative
    DepthwiseConv2dNativeBackpropFilter DepthwiseConv2dNativeBackpropInput
    Dilation2D Dilation2DBackpropFilter Dilation2DBackpropInput Elu EluGrad
    FractionalAvgPool FractionalAvgPoolGrad FractionalMaxPool
    FractionalMaxPoolGrad FusedBatchNorm FusedBatchNormGrad
    FusedBatchNormGradV2 FusedBatchNormGradV3 FusedBatchNormV2
    FusedBatchNormV3 FusedPadConv2D FusedResizeAndPadConv2D GRUBlockCell
    GRUBlockCellGrad InTopK InTopKV2 LRN LRNGrad LSTMBlockCell
    LSTMBlockCellGrad LeakyRelu LeakyReluGrad LogSoftmax MaxPool MaxPool3D
    MaxPool3DGrad MaxPool3DGradGrad MaxPoolGrad MaxPoolGradGrad
    MaxPoolGradGradV2 MaxPoolGradGradWithArgmax MaxPoolGradV2
    MaxPoolGradWithArgmax MaxPoolV2 MaxPoolWithArgmax Relu Relu6 Relu6Grad
    ReluGrad Selu SeluGrad Sigmoid SigmoidGrad Softmax
    SoftmaxCrossEntropyWithLogits Softplus SoftplusGrad Softsign
    SoftsignGrad SpaceToBatch SpaceToBatchND SpaceToDepth
    SparseSoftmaxCrossEntropyWithLogits
    """.split()
)
# Numbers of few bits, as in graphs that were quantized.
QUANTIZED = frozenset(
    """
    Dequantize FakeQuantWithMinMaxArgs FakeQuantWithMinMaxArgsGradient
    FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsGradient
    FakeQuantWithMinMaxVarsPerChannel
    FakeQuantWithMinMaxVarsPerChannelGradient QuantizeAndDequantize
    QuantizeAndDequantizeV2 QuantizeAndDequantizeV3 QuantizeAndDequantizeV4
    QuantizeAndDequantizeV4Grad QuantizeDownAndShrinkRange QuantizeV2
    QuantizedAdd QuantizedAvgPool QuantizedBatchNormWithGlobalNormalization
    QuantizedBiasAdd QuantizedConcat QuantizedConv2D QuantizedInstanceNorm
    QuantizedMatMul QuantizedMaxPool QuantizedMul QuantizedRelu
    QuantizedRelu6 QuantizedReluX QuantizedReshape QuantizedResizeBilinear
    RequantizationRange RequantizationRangePerChannel Requantize
    RequantizePerChannel
    """.split()
)
# Images and sound, also from their encoded bytes.
IMAGES_AND_SOUND = frozenset(
    """
    AdjustContrast AdjustContrastv2 AdjustHue AdjustSaturation
    AudioSpectrogram CombinedNonMaxSuppression CropAndResize
    CropAndResizeGradBoxes CropAndResizeGradImage DecodeAndCropJpeg
    DecodeBmp DecodeGif DecodeImage DecodeJpeg DecodePng DecodeWav
    DrawBoundingBoxes DrawBoundingBoxesV2 EncodeJpeg
    EncodeJpegVariableQuality EncodePng EncodeWav ExtractGlimpse
    ExtractGlimpseV2 ExtractImagePatches ExtractJpegShape
    ExtractVolumePatches GenerateBoundingBoxProposals HSVToRGB
    ImageProjectiveTransformV2 ImageProjectiveTransformV3 Mfcc
    NonMaxSuppression NonMaxSuppressionV2 NonMaxSuppressionV3
    NonMaxSuppressionV4 NonMaxSuppressionV5 NonMaxSuppressionWithOverlaps
    RGBToHSV ResizeArea ResizeBicubic ResizeBicubicGrad ResizeBilinear
    ResizeBilinearGrad ResizeNearestNeighbor ResizeNearestNeighborGrad
    SampleDistortedBoundingBox SampleDistortedBoundingBoxV2
    ScaleAndTranslate ScaleAndTranslateGrad
    """.split()
)
# Strings, and examples that are stored in strings.
STRINGS = frozenset(
    """
    AsString DecodeBase64 DecodeCSV DecodeJSONExample DecodePaddedRaw
    DecodeRaw EncodeBase64 ParseExample ParseExampleV2 ParseSequenceExample
    ParseSequenceExampleV2 ParseSingleExample ParseSingleSequenceExample
    ReduceJoin RegexFullMatch RegexReplace SerializeTensor ShardedFilename
    ShardedFilespec StaticRegexFullMatch StaticRegexReplace StringFormat
    StringJoin StringLength StringLower StringNGrams StringSplit
    StringSplitV2 StringStrip StringToHashBucket StringToHashBucketFast
    StringToHashBucketStrong StringToNumber StringUpper Substr UnicodeDecode
    UnicodeDecodeWithOffsets UnicodeEncode UnicodeScript UnicodeTranscode
    UnsortedSegmentJoin
    """.split()
)
# Sparse and ragged tensors, which are several plain ones.
SPARSE_AND_RAGGED = frozenset(
    """
    DenseCountSparseOutput RaggedBincount RaggedCountSparseOutput
    RaggedCross RaggedFillEmptyRows RaggedFillEmptyRowsGrad RaggedGather
    RaggedRange RaggedTensorFromVariant RaggedTensorToSparse
    RaggedTensorToTensor RaggedTensorToVariant RaggedTensorToVariantGradient
    SerializeManySparse SerializeSparse SparseAdd SparseAddGrad
    SparseBincount SparseConcat SparseCountSparseOutput SparseCross
    SparseCrossHashed SparseCrossV2 SparseDenseCwiseAdd SparseDenseCwiseDiv
    SparseDenseCwiseMul SparseFillEmptyRows SparseFillEmptyRowsGrad
    SparseReduceMax SparseReduceMaxSparse SparseReduceSum
    SparseReduceSumSparse SparseReorder SparseReshape SparseSegmentMean
    SparseSegmentMeanGrad SparseSegmentMeanGradV2
    SparseSegmentMeanWithNumSegments SparseSegmentSqrtN
    SparseSegmentSqrtNGrad SparseSegmentSqrtNGradV2
    SparseSegmentSqrtNWithNumSegments SparseSegmentSum SparseSegmentSumGrad
    SparseSegmentSumGradV2 SparseSegmentSumWithNumSegments SparseSlice
    SparseSliceGrad SparseSoftmax SparseSparseMaximum SparseSparseMinimum
    SparseSplit SparseTensorDenseAdd SparseTensorDenseMatMul SparseToDense
    """.split()
)
# Random numbers. Their state is not saved, and need not be.
RANDOM = frozenset(
    """
    AllCandidateSampler ComputeAccidentalHits FixedUnigramCandidateSampler
    LearnedUnigramCandidateSampler LogUniformCandidateSampler Multinomial
    ParameterizedTruncatedNormal RandomCrop RandomGamma RandomGammaGrad
    RandomIndexShuffle RandomPoisson RandomPoissonV2 RandomShuffle
    RandomStandardNormal RandomUniform RandomUniformInt StatelessMultinomial
    StatelessParameterizedTruncatedNormal StatelessRandomBinomial
    StatelessRandomGammaV2 StatelessRandomGammaV3
    StatelessRandomGetKeyCounter StatelessRandomGetKeyCounterAlg
    StatelessRandomNormal StatelessRandomNormalV2 StatelessRandomPoisson
    StatelessRandomUniform StatelessRandomUniformFullInt
    StatelessRandomUniformFullIntV2 StatelessRandomUniformInt
    StatelessRandomUniformIntV2 StatelessRandomUniformV2
    StatelessSampleDistortedBoundingBox StatelessShuffle
    StatelessTruncatedNormal StatelessTruncatedNormalV2
    ThreadUnsafeUnigramCandidateSampler TruncatedNormal
    UniformCandidateSampler
    """.split()
)
LET_IN = frozenset[str]().union(
    VARIABLES,
    CONTROL_FLOW,
    ARRAYS,
    MATHS,
    LINEAR_ALGEBRA,
    NETWORKS,
    QUANTIZED,
    IMAGES_AND_SOUND,
    STRINGS,
    SPARSE_AND_RAGGED,
    RANDOM,
)

# Where `PrintV2` may write to; any other name is a file.
STREAMS = "|stderr|stdout|log\\(info\\)|log\\(warning\\)|log\\(error\\)"
ANY = "(?s:.*)"
WORD = "[A-Za-z0-9_.:+-]{0,64}"
FILES = ("output_stream", "vocab_file")
# What a text may be, as a regular expression, by the name of the attribute.
TEXTS: dict[str, str] = {
    # Names, and texts that the operation only prints or works with.
    **dict.fromkeys(
        """
        allowed_devices container context_dense_keys context_sparse_keys
        debug_name dense_keys end feature_list_dense_keys
        feature_list_dense_missing_assumed_empty feature_list_sparse_keys
        field_delim fill frame_name left_pad message na_value pattern
        placeholder rewrite right_pad separator shared_name sparse_keys template
        tensor_array_name xmp_metadata
        """.split(),
        ANY,
    ),
    # TensorFlow itself looks these up in a list.
    **dict.fromkeys(
        """
        align bad_indices_policy data_format dct_method density_unit dst_format
        encoding errors fill_mode format input_encoding input_order
        interpolation kernel_type method mode noise output_encoding padding
        round_mode row_partition_types set_operation src_format unit
        """.split(),
        WORD,
    ),
    "equation": "[A-Za-z.,> -]{0,1000}",
    "output_stream": STREAMS,
    # The name of a file.
    "vocab_file": "",
    # Calls are traced here, so TensorFlow never reads these.
    "config": ANY,
    "config_proto": ANY,
    "executor_type": ANY,
}
# The largest whole number, by the name of the attribute, where a larger one
# takes all memory, never ends, or ends the process.
LIMITS: dict[str, int] = {
    # Loops keep this many rounds.
    "parallel_iterations": 1 << 16,
    # Samplers keep a number for every class, and try until they have enough.
    "num_reserved_ids": 1 << 24,
    "num_sampled": 1 << 16,
    "num_shards": 1 << 16,
    "num_true": 1 << 16,
    "range_max": 1 << 24,
    # This many inputs or outputs.
    **dict.fromkeys(
        """
        N Ncontext_dense Ncontext_sparse Ndense Nfeature_list_dense
        Nfeature_list_sparse Nsparse OUTPUT_RAGGED_RANK PARAMS_RAGGED_RANK
        RAGGED_RANK num num_partitions num_row_partition_tensors num_sparse
        num_split top_paths input_ragged_rank output_ragged_rank
        """.split(),
        1 << 16,
    ),
    # Sizes of windows and buffers.
    **dict.fromkeys(
        """
        beam_width block_size channels dct_coefficient_count depth_radius
        desired_channels dilations explicit_paddings filterbank_channel_count
        groups ksize ksizes max_attempts ngram_widths pad_width post_nms_topn
        precision rates rounds stride strides summarize width window_size
        """.split(),
        1 << 16,
    ),
    "desired_samples": 1 << 26,
    "num_bits": 64,
    # Numbers that nothing is allocated for.
    **dict.fromkeys(
        ("hash_key", "key", "num_buckets", "seed", "seed2"), (1 << 63) - 1
    ),
}
# Of those that are not in the table, which are positions of axes and the like.
MAX_INTEGER = (1 << 31) - 1
# Elements of a list in an attribute. `unigrams` has one for every class.
MAX_LIST = 1 << 24
# TensorFlow ends the process for a shape with more axes.
MAX_AXES = 254
MAX_ELEMENTS = 1 << 48
# Elements of a list of tensors, and the input that says how many it has.
MAX_LIST_SIZE = 1 << 24
LIST_SIZES = {
    "TensorArrayV3": 0,
    "TensorListReserve": 1,
    "TensorListResize": 1,
    "EmptyTensorList": 1,
    "TensorListScatterV2": 3,
}


def explain_attributes(node: protos.NodeDef) -> str:
    """Returns what is wrong with the attributes of an operation, or `""`."""
    for name, value in node.attr.items():
        # TensorFlow's own marks. `gate.py` drops them.
        if not name.startswith("_"):
            problem = explain_attribute(name, value)
            if problem:
                return problem
    return ""


def explain_attribute(name: str, value: protos.AttrValue) -> str:
    """Returns what is wrong with one attribute, or an empty string."""
    many = value.list
    texts = [value.s] if value.HasField("s") else many.s
    allowed = TEXTS.get(name)
    for text in texts:
        shown = text[:50].decode("utf-8", "backslashreplace")
        if allowed is None:
            return f"has the text {name}={shown!r}, which is not known"
        if not re.fullmatch(allowed, text.decode("utf-8", "replace")):
            what = "touches files" if name in FILES else "has a text"
            return f"{what}: {name}={shown!r}"
    limit = LIMITS.get(name, MAX_INTEGER)
    for number in [value.i] if value.HasField("i") else many.i:
        if not -limit - 1 <= number <= limit:
            return f"has {name}={number:,}, more than {limit:,}"
    for kind in [value.type] if value.HasField("type") else many.type:
        if not is_known_type(kind):
            return f"has {name}={kind}, which is no type of TensorFlow"
    for tensor in [value.tensor] if value.HasField("tensor") else many.tensor:
        # It would name a resource of this process, or be made by a decoder.
        if tensor.dtype in (tf.resource, tf.variant):
            return "holds a handle, which no constant of a model does"
    for shape in [value.shape] if value.HasField("shape") else many.shape:
        if problem := explain_shape(shape):
            return f"has a {name} {problem}"
    counts = (many.s, many.i, many.f, many.b, many.type, many.shape)
    if max(map(len, counts)) > MAX_LIST:
        return f"has a {name} of more than {MAX_LIST:,} entries"
    return ""


def is_known_type(kind: int) -> bool:
    """Returns whether TensorFlow knows a type by its number."""
    try:
        tf.as_dtype(kind)
    except TypeError:
        return False
    return True


def explain_shape(shape: protos.ShapeProto) -> str:
    """Returns what is wrong with a shape, or an empty string."""
    sizes = [dim.size for dim in shape.dim]
    if len(sizes) > MAX_AXES:
        return f"of {len(sizes):,} axes, more than {MAX_AXES}"
    if any(size < -1 for size in sizes):
        return f"with a size of {min(sizes):,}"
    if math.prod(size for size in sizes if size > 0) > MAX_ELEMENTS:
        return f"of more than {MAX_ELEMENTS:,} elements"
    return ""
