"""A tilt of the latent prior
==========================

Digits in the wrong shares, put right by a tilt of the latent prior that is learned from a few unbiased images.

A VAE of 2500 images of 0 to 4 in shares .12, .33, .28, .20, .07 draws them in about these shares. An energy of the latents, learned
from 250 images in equal shares, whose classes it is not told, tilts the prior. A classifier trained on other images counts the classes
of drawn images. MNIST's test images from ``--data-home`` (``mnist/MNIST/raw/t10k-*`` there); without it, and with fewer rows, the
8 x 8 digits that ship with scikit-learn.

::

    python examples/latent_tilt.py --data-home ../shared/data --output latent_tilt.png
"""

# sphinx_gallery_thumbnail_path = "figures/latent_tilt.png"

from __future__ import annotations

import argparse
import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pyro_mnar import IWELBO, MNAR, EnergyTilt, GaussianDecoder, GaussianEncoder, SelfNormalized, fit
from pyro_mnar.energy import energy_net, sample_tilted
from pyro_mnar.networks.layers import MIN_SCALE

#: Standard deviation of a pixel about its mean, of a brightness from 0 to 1.
NOISE = 0.3
SHARES = (0.12, 0.33, 0.28, 0.20, 0.07)


def digits(data_home: str | None) -> tuple[Tensor, Tensor]:
    """Return images of 0 to 4, (N, S * S) with brightness from 0 to 1, and their classes, (N,)."""
    if data_home is None:
        from sklearn.datasets import load_digits

        images, classes = load_digits(return_X_y=True)
        images = images / 16
    else:
        raw = Path(data_home, "mnist", "MNIST", "raw")
        # The headers of the two files have 16 and 8 bytes; what follows is one byte a pixel, one a class.
        packed = [gzip.decompress((raw / f"t10k-{name}-ubyte.gz").read_bytes()) for name in ("images-idx3", "labels-idx1")]
        images = np.frombuffer(packed[0], np.uint8, offset=16).reshape(-1, 784) / 255
        classes = np.frombuffer(packed[1], np.uint8, offset=8)
    chosen = classes < len(SHARES)
    return torch.tensor(images[chosen], dtype=torch.float32), torch.tensor(classes[chosen], dtype=torch.int64)


def split(classes: Tensor, biased: int, unbiased: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the places of the biased images, of the unbiased ones, and of the rest, each in random order."""
    parts: tuple[list[Tensor], list[Tensor], list[Tensor]] = ([], [], [])
    for k, share in enumerate(SHARES):
        places = (classes == k).nonzero().flatten()
        places = places[torch.randperm(len(places))]
        n, m = round(biased * share), unbiased // len(SHARES)
        for part, chosen in zip(parts, (places[:n], places[n : n + m], places[n + m :]), strict=True):
            part.append(chosen)
    first, second, rest = (torch.cat(part) for part in parts)
    return first[torch.randperm(len(first))], second[torch.randperm(len(second))], rest


def vae(x: Tensor, latent: int, steps: int, seed: int) -> MNAR:
    """A VAE of images ``x`` (N, D)."""
    decoder = GaussianDecoder(latent, x.shape[1], hidden=[256])
    base = MNAR(decoder, GaussianEncoder(latent, x.shape[1], hidden=[256]))
    mask = torch.ones_like(x, dtype=torch.bool)
    base.initialize(x, mask)
    with torch.no_grad():  # one noise for all pixels, so wide that codes of images overlap and draws of the prior look like them
        decoder.raw_scale.fill_(math.log(math.expm1(NOISE - MIN_SCALE)))
    decoder.raw_scale.requires_grad_(False)
    fit(IWELBO(base, 1), x, mask, steps=steps, lr=2e-3, weight_decay=1e-2, seed=seed, batch_size=128, mechanism_lr=1e-1)
    return base


def tilted(base: MNAR, x: Tensor, steps: int, seed: int) -> MNAR:
    """The VAE with a tilt of its prior, learned from unbiased images ``x`` (M, D)."""
    latent = int(base.decoder.latent_dim)
    model = MNAR(base.decoder, base.encoder, tilt=EnergyTilt(energy_net(latent, (64, 64)), latent=True))
    model.freeze_base()
    mask = torch.ones_like(x, dtype=torch.bool)
    # Few rows: a penalty on the energy's slope keeps it from learning them by heart.
    objective = SelfNormalized(IWELBO(model, 5), draws=1024, gradient_penalty=0.1)
    fit(objective, x, mask, steps=steps, batch_size=min(128, len(x)), lr=2e-3, weight_decay=1e-1, seed=seed, mechanism_lr=1e-1)
    return model


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Return ``shares`` (5,) of the biased images and of draws of both models, what was drawn, and what the figure shows besides."""
    from sklearn.svm import SVC

    torch.manual_seed(args.seed)
    x, classes = digits(args.data_home)
    biased, unbiased, rest = split(classes, args.biased, args.unbiased)
    base = vae(x[biased], args.latent, args.steps, args.seed)
    model = tilted(base, x[unbiased], args.steps_tilt, args.seed)
    with torch.no_grad():
        z = {"base": base.draw(args.draws)[0], "tilted": sample_tilted(model, args.draws, seed=args.seed).z}
        drawn = {name: base.decoder.mean(value) for name, value in z.items()}  # type: ignore[operator]  # without the pixels' noise
        # The classifier should know what the VAE makes of an image, too.
        again = base.decoder.mean(base.encoder(x[rest], torch.ones_like(x[rest], dtype=torch.bool)).mean)  # type: ignore[operator]
    classifier = SVC().fit(torch.cat([x[rest], again]).numpy(), classes[rest].repeat(2).numpy())
    found = {name: classifier.predict(images.numpy()) for name, images in drawn.items()}
    share = {name: np.bincount(labels, minlength=len(SHARES)) / len(labels) for name, labels in found.items()}
    accuracy = float((classifier.predict(x[unbiased].numpy()) == classes[unbiased].numpy()).mean())
    return {"shares": {"biased": np.array(SHARES)} | share, "drawn": drawn, "classes": found, "accuracy": accuracy, "model": model}


def main(args: argparse.Namespace) -> dict[str, float]:
    """Fit, print, draw; return the largest error of a share, of the base and of the tilted model."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    found = run(args)
    target, errors = 1 / len(SHARES), {}
    print(f"the classifier is right on {found['accuracy']:.1%} of the unbiased images")
    for name, share in found["shares"].items():
        errors[name] = float(np.abs(share - target).max())
        print(f"{name:>7}: shares {' '.join(f'{s:.2f}' for s in share)}, largest error {errors[name]:.3f}")
    side = round(found["drawn"]["base"].shape[1] ** 0.5)
    figure, axes = pyplot.subplots(1, 3, figsize=(13, 4.2), layout="constrained", width_ratios=[1, 1, 1.1])
    for axis, (name, title) in zip(axes, (("base", "drawn from the VAE"), ("tilted", "drawn under the tilt")), strict=False):
        order = np.argsort(found["classes"][name][:100], kind="stable")  # by class, so that shares can be seen
        tiles = found["drawn"][name][:100][order].reshape(10, 10, side, side).permute(0, 2, 1, 3).reshape(10 * side, 10 * side)
        axis.imshow(tiles.numpy(), cmap="gray", vmin=0, vmax=1)
        axis.set(title=f"{title} (100, by class)", xticks=[], yticks=[])
    places = np.arange(len(SHARES))
    bars = (
        ("biased", "tab:grey", "2500 images" if args.biased == 2500 else "images"),
        ("base", "tab:blue", "VAE"),
        ("tilted", "tab:orange", "tilted"),
    )
    for i, (name, color, label) in enumerate(bars):
        axes[2].bar(places + 0.27 * (i - 1), found["shares"][name], 0.25, color=color, label=label)
    axes[2].axhline(target, color="black", linestyle=":", label="unbiased")
    axes[2].set(title="share of each digit", xlabel="digit", ylabel="share", xticks=places)
    axes[2].legend()
    figure.savefig(args.output, dpi=130)
    if args.output.endswith(".png"):
        with Image.open(args.output) as picture:  # 128 greys and colors are a quarter of the bytes, and look the same
            picture.quantize(128).save(args.output, optimize=True)
    pyplot.close(figure)
    print(f"written to {args.output}")
    return {name: errors[name] for name in ("base", "tilted")}


def options(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the settings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-home", help="folder with mnist/MNIST/raw; without it, scikit-learn's digits")
    parser.add_argument("--output", default="latent_tilt.png", help="figure to write")
    parser.add_argument("--biased", type=int, default=2500, help="images that the VAE is fitted to")
    parser.add_argument("--unbiased", type=int, default=250, help="images that the tilt is learned from")
    parser.add_argument("--latent", type=int, default=6)
    parser.add_argument("--steps", type=int, default=2500, help="training updates of the VAE")
    parser.add_argument("--steps-tilt", type=int, default=300)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(options())
