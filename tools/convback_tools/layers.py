"""Layers of networks in use, as problem words (`convback_tools.notation`), one for each regime of a convolution."""

LAYERS = {
    "resnet50-conv1": "g1mb4ic3ih224iw224oc64kh7kw7sh2sw2ph3pw3dh0dw0",  # few channels, strided
    "resnet50-res2-3x3": "g1mb8ic64ih56iw56oc64kh3kw3sh1sw1ph1pw1dh0dw0",  # dense 3x3
    "resnet50-res3-3x3": "g1mb8ic128ih28iw28oc128kh3kw3sh1sw1ph1pw1dh0dw0",  # dense 3x3
    "resnet50-res4-3x3": "g1mb8ic256ih14iw14oc256kh3kw3sh1sw1ph1pw1dh0dw0",  # dense 3x3, small map
    "resnet50-res5-3x3": "g1mb8ic512ih7iw7oc512kh3kw3sh1sw1ph1pw1dh0dw0",  # dense 3x3, weights bound
    "resnet50-res2-1x1": "g1mb8ic256ih56iw56oc64kh1kw1sh1sw1ph0pw0dh0dw0",  # 1x1
    "resnet50-res5-1x1": "g1mb8ic512ih7iw7oc2048kh1kw1sh1sw1ph0pw0dh0dw0",  # 1x1, small map
    "resnet50-res3-short": "g1mb4ic256ih56iw56oc512kh1kw1sh2sw2ph0pw0dh0dw0",  # 1x1 strided
    "resnet50v15-res3-s2": "g1mb4ic128ih56iw56oc128kh3kw3sh2sw2ph1pw1dh0dw0",  # 3x3 strided
    "vgg-conv1_2": "g1mb1ic64ih224iw224oc64kh3kw3sh1sw1ph1pw1dh0dw0",  # dense 3x3, large map
    "vgg-conv4_2": "g1mb2ic512ih28iw28oc512kh3kw3sh1sw1ph1pw1dh0dw0",  # dense 3x3, large weights
    "mobilenet-dw-s1": "g128mb8ic128ih56iw56oc128kh3kw3sh1sw1ph1pw1dh0dw0",  # depthwise 3x3
    "mobilenet-dw-s2": "g256mb8ic256ih28iw28oc256kh3kw3sh2sw2ph1pw1dh0dw0",  # depthwise 3x3 strided
    "efficientnet-dw5": "g240mb8ic240ih28iw28oc240kh5kw5sh1sw1ph2pw2dh0dw0",  # depthwise 5x5
    "convnext-dw7": "g96mb4ic96ih56iw56oc96kh7kw7sh1sw1ph3pw3dh0dw0",  # depthwise 7x7
    "resnext-32x4d": "g32mb4ic128ih56iw56oc128kh3kw3sh1sw1ph1pw1dh0dw0",  # small groups
    "deeplab-aspp": "g1mb1ic512ih33iw33oc256kh3kw3sh1sw1ph12pw12dh11dw11",  # large dilation
    "unet-conv6": "g1mb1ic64ih138iw138oc64kh3kw3sh1sw1ph0pw0dh0dw0",  # dense 3x3, no padding
    "lenet-conv1": "g1mb64ic1ih28iw28oc6kh5kw5sh1sw1ph2pw2dh0dw0",  # few channels
    "cifar-3x3": "g1mb32ic32ih32iw32oc32kh3kw3sh1sw1ph1pw1dh0dw0",  # dense 3x3, narrow
    "seed-8x8": "g1mb1ic4ih8iw8oc4kh3kw3sh1sw1ph0pw0dh0dw0",  # tiny: call overhead
    "c3d-conv2a": "g1mb1ic64id8ih56iw56oc128kd3kh3kw3sd1sh1sw1pd1ph1pw1dd0dh0dw0",  # 3-D dense
    "x3d-dw": "g108mb2ic108id8ih28iw28oc108kd3kh3kw3sd1sh1sw1pd1ph1pw1dd0dh0dw0",  # 3-D depthwise
    "wavenet-d512": "g1mb4ic64iw16000oc128kw2sw1pw256dw511",  # 1-D, dilated
    "wav2vec2-conv1": "g1mb1ic512iw3199oc512kw3sw2pw0dw0",  # 1-D strided
    "wav2vec2-pos": "g16mb1ic768iw249oc768kw128sw1pw64dw0",  # 1-D long kernel, grouped
    "conformer-dw31": "g256mb8ic256iw400oc256kw31sw1pw15dw0",  # 1-D depthwise, long kernel
    "deepspeech-conv1": "g1mb4ic1ih161iw700oc32kh20kw5sh2sw2ph0pw0dh0dw0",  # one channel, tall kernel
}
