"""
Choose settings by GridSearchCV
===============================

``LinearDiffusion`` is a scikit-learn estimator, and its ``score`` is the log-density of
images that the fit did not see. So scikit-learn's search finds how many components and
how many styles describe new images best.
"""

import matplotlib.pyplot as plt
from sklearn.model_selection import GridSearchCV

from linear_diffusion import LinearDiffusion, load_images

images, prompts = load_images("digits")  # scikit-learn's digits, 8 x 8
grid = {"latent_dim": [5, 10, 20, 30, 40], "styles": [1, 5, 10]}
model = LinearDiffusion(tone=False, random_state=0)
search = GridSearchCV(model, grid, cv=3).fit(images, prompts)
print(search.best_params_)

# %%
results = search.cv_results_
fig, ax = plt.subplots()
for styles in grid["styles"]:
    here = results["param_styles"] == styles
    ax.plot(
        results["param_latent_dim"][here],
        results["mean_test_score"][here],
        marker="o",
        label=f"styles={styles}",
    )
ax.set(xlabel="latent_dim", ylabel="log-density of new images")
ax.legend()
plt.show()

# %%
# More components help until there is little left to describe; after that they are
# learned from too few images. Styles need more images than these 1,797. The search ends
# with the best model, fitted on all images, in ``search.best_estimator_``.
