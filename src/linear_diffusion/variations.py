"""Images from images, as methods of the estimator: edit and interpolate.

    edit          z_t = alpha_t z + sigma_t eps, and from there the prompt's sampler     (`edit`)
    interpolate   both images to noise by the exact flow, along a sphere, and back       (`interpolate`)

Arguments are checked here; what is worked out is in the modules named.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from . import walk
from ._types import AnyArray
from .checks import check_eta, check_levels
from .edit import check_strength, draw_responsible, flow_levels, last_levels, likeliest, noised
from .generate import Run
from .guidance import check_scale
from .image import noise_floor
from .interpolate import between, check_count
from .noise import EDITS, SCHEDULES, derived, entropy_of
from .prompts import each_mix
from .tasks.fitted import Fitted, is_exact

if TYPE_CHECKING:
    from .styles import Styles
    from .text import OneHotEncoder
    from .words import Words


class VariationsMixin(Fitted):
    """What a fitted model makes of images; see `LinearDiffusion`."""

    if TYPE_CHECKING:
        schedule: str
        _text: OneHotEncoder
        _words: Words | None
        sample: Callable[..., Any]
        inverse_transform: Callable[..., AnyArray]
        _choose_sampler: Callable[..., str]
        _compose: Callable[..., Any]

        def _drawn_styles(self) -> Styles: ...
        def _words_model(self, prompts: Any, guidance_scale: float = 1.0, negative_prompts: Any = None) -> Self: ...

    def edit(
        self,
        X: Any,
        prompts: Any,
        strength: float = 0.6,
        *,
        sampler: str | None = None,
        n_steps: int | None = None,
        eta: float = 0.0,
        guidance_scale: float = 1.0,
        negative_prompts: Any = None,
        random_state: Any = None,
    ) -> AnyArray:
        """Change images by a prompt: noise them, and let the prompt's denoiser clean them (image-to-image).

        With styles, one of the prompt's is drawn for each noised image, by how likely they make it.

        Parameters
        ----------
        X : array of shape (n, \\*image_shape_) or (n, d)
        prompts : prompt or sequence of n prompts
            Or mixes, as in `sample`.
        strength : float, default=0.6
            From 0, the image as `inverse_transform` gives it, to 1, what `sample` draws. As in diffusers, the last
            ``int(strength * n_steps)`` steps are run; "exact" starts from the level at time ``strength``. Above 0
            images end with the tone curve, as samples do.
        sampler, n_steps, eta, guidance_scale, negative_prompts, random_state
            As in `sample`.

        Returns
        -------
        array of shape (n, \\*image_shape_)
            Of the dtype of the training images.

        Raises
        ------
        UnknownPromptError
            If a prompt is not one of ``classes_``.
        ValueError
            If an argument has a wrong value, or ``strength`` is less than one step.
        """
        rows, strength, scale = (
            self._check_rows(X),
            check_strength(strength),
            check_scale(guidance_scale, negative_prompts),
        )
        name, schedule = self._choose_sampler(sampler, guided=scale != 1.0), SCHEDULES[self.schedule]
        levels = check_levels(name, schedule, n_steps, False)
        check_eta(eta, name)
        if self._words is not None:
            call = {"sampler": sampler, "n_steps": n_steps, "eta": eta, "random_state": random_state}
            guidance = {"guidance_scale": guidance_scale, "negative_prompts": negative_prompts}
            edited: AnyArray = self._words_model(prompts, **guidance).edit(X, prompts, strength, **call, **guidance)
            return edited
        mixes = each_mix(prompts, len(rows), self._text, "prompts", required=True)
        negatives = each_mix(negative_prompts, len(rows), self._text, "negative_prompts")
        # Noise of its own: what is edited may be a sample of the same seed.
        entropy = derived(entropy_of(self.random_state if random_state is None else random_state), EDITS)
        if strength == 0.0:
            return self.inverse_transform(self._encoder.encode(rows))
        if strength == 1.0:
            call = {"guidance_scale": scale, "negative_prompts": negative_prompts, "random_state": entropy}
            images: AnyArray = self.sample(len(rows), prompts, sampler=name, n_steps=n_steps, eta=eta, **call)[0]
            return images
        levels = flow_levels(schedule, strength) if name == "exact" else last_levels(levels, strength)
        z = noised(self._encoder.encode(rows), levels[0], entropy)
        drawn = np.array([mix[0][0] for mix in mixes])
        if self._mixture is not None:
            drawn = draw_responsible(self._drawn_styles(), drawn, z, levels[0], entropy)
        composition, piece = self._compose(mixes, drawn, negatives, scale)
        return walk.edited(composition, Run(name, levels, eta, entropy), piece, z)

    @available_if(is_exact)  # type: ignore[untyped-decorator]
    def interpolate(self, X0: Any, X1: Any, n_images: int = 8, *, prompts: Any) -> AnyArray:
        """Images on the way from one image to another, through noise and prompt alike.

        Each is carried to noise by its prompt's exact flow (of one Gaussian, whatever its styles), the noise is
        interpolated on a sphere and the prompt's code on a line, and carried back.

        Parameters
        ----------
        X0, X1 : arrays of shape image_shape_
        n_images : int, default=8
            Both ends included: they are as `inverse_transform` gives them. In between the tone curve has its share.
        prompts : prompt, or two
            Of both ends, or of each; or mixes, as in `sample`.

        Returns
        -------
        array of shape (n_images, \\*image_shape_)
            Of the dtype of the training images.

        Raises
        ------
        UnknownPromptError
            If a prompt is not one of ``classes_``.
        ValueError
            If an argument has a wrong value.
        """
        check_is_fitted(self)
        n = check_count(n_images)
        rows = np.concatenate([self._check_rows(np.asarray(X)[None]) for X in (X0, X1)])
        if self._words is not None:
            way: AnyArray = self._words_model(prompts).interpolate(X0, X1, n_images, prompts=prompts)
            return way
        mixes = each_mix(prompts, 2, self._text, "prompts", required=True)
        z = self._encoder.encode(rows).astype(np.float64)
        drawn = np.array([mix[0][0] for mix in mixes])
        if self._mixture is not None:
            drawn = likeliest(self._drawn_styles(), drawn, z)
        composition, piece = self._compose(mixes, drawn, [])
        return between(composition, piece, mixes, z, n, noise_floor(self._encoder) * self._encoder.scale**2)
