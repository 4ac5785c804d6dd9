#!/usr/bin/env bash
# dist_check.sh: builds wheel and sdist, and tries both as a user has them: in new environments, from a folder that is not the
# checkout. It takes minutes, most of them for installing, so it is for releases and not for every commit.
set -euo pipefail
cd "$(dirname "$0")/.."
project=$PWD
python=${PYTHON:-.venv/bin/python}
place=$(mktemp -d -t deblend-dist-XXXXXX)
trap 'rm -rf "$place"' EXIT

say() { printf 'dist-check: %s\n' "$*" >&2; }

say "building"
log=$("$python" -m build --outdir "$place/dist" . 2>&1) || { say "$log"; exit 1; }
wheel=$(ls "$place"/dist/*.whl) sdist=$(ls "$place"/dist/*.tar.gz)

# what has to be in them, besides code
listed=$("$python" -m zipfile -l "$wheel")
for needed in deblend/__init__.pyi deblend/py.typed deblend/priors/galaxies.npz deblend/priors/galaxies_score.safetensors \
    deblend/priors/galaxies_density.safetensors napari_deblend/napari.yaml napari_deblend/sample_data/calexp-HSC-G.fits \
    napari_deblend/sample_data/two_telescopes/hst.fits; do
    [[ "$listed" == *"$needed"* ]] || { say "$needed is not in the wheel"; exit 1; }
done
listed=$(tar -tzf "$sdist")
for needed in LICENSE CITATION.cff CHANGELOG.md tests/conftest.py docs/index.md; do
    [[ "$listed" == *"/$needed"* ]] || { say "$needed is not in the sdist"; exit 1; }
done

# fresh NAME WHAT...: makes an environment, installs, and leaves its Python in $fresh
fresh() {
    "$python" -m venv "$place/$1"
    fresh=$place/$1/bin/python
    "$fresh" -m pip install --quiet --upgrade pip
    "$fresh" -m pip install --quiet --constraint constraints.txt "${@:2}"
}

say "installing the wheel, with the window"
fresh wheel "$wheel[pyqt5,test]"
mkdir "$place/outside"
cp -r tests sample_data pyproject.toml "$place/outside"
cd "$place/outside"
say "trying it"
# from outside: neither the checkout nor its environment is to be seen
unset PYTHONPATH
"$fresh" -c "import deblend, napari_deblend, sys; assert '$project' not in deblend.__file__ + napari_deblend.__file__, sys.path"
"$place/wheel/bin/deblend" --version
"$fresh" -m npe2 validate napari-deblend
"$place/wheel/bin/deblend" fit sample_data/calexp-HSC-[GR].fits --cutout 40:80,36:70 --kind sersic --passes 0 --out results --quiet
# the sample that is in the wheel
"$fresh" - <<'PYTHON'
from pathlib import Path
import napari_deblend
from deblend import read_observations
folder = Path(napari_deblend.__file__).parent / "sample_data"
assert len(read_observations([str(p) for p in sorted(folder.glob("calexp-*.fits"))])[0].channels) == 5
PYTHON
"$fresh" -m pytest -q -p no:cacheprovider tests/engine/test_wcs.py tests/engine/test_scene.py tests/engine/test_sample_data.py \
    tests/engine/test_session.py tests/plugin/test_manifest.py tests/end_to_end/test_cli_words.py

say "installing the sdist, without a window"
cd "$project"
fresh sdist "$sdist"
cd "$place/outside"
"$fresh" -c "import deblend; deblend.FitSettings()"
"$place/sdist/bin/deblend" fit --help >/dev/null
say "wheel and sdist are whole."
