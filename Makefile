# `make demo` restores a real photo with the model that ships in weights/; `make test` passes the tests.
# Both make their own environment in .venv the first time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-comfyui test-webui test-invokeai fuzz lint clean

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@

demo: $(VENV)/installed
	mkdir -p demo
	$(BIN)/python -c "import skimage.data as d, PIL.Image as i; i.fromarray(d.astronaut()).save('demo/portrait.png')"
	$(BIN)/gpen-nodes degrade --input demo/portrait.png --output demo/degraded.png --evaluation
	$(BIN)/gpen-nodes restore --input demo/degraded.png --output demo/restored.png --face_align --compare --save_faces demo/faces
	$(BIN)/gpen-nodes restore --input demo/portrait.png --output demo/portrait_restored.png --face_align --compare
	@echo "Look at demo/restored_compare.png (before | after), and at demo/portrait_restored_compare.png for a good photo."

# Two processes of one thread each: a test file stays within one of them.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadfile

# In a real ComfyUI, with the Python that runs it (pytest, hypothesis, scikit-image and, for the page, playwright are
# needed there): make test-comfyui COMFYUI_DIR=../ComfyUI COMFYUI_PYTHON=../ComfyUI/.venv/bin/python
COMFYUI_PYTHON ?= python3
test-comfyui:
	COMFYUI_DIR=$(abspath $(COMFYUI_DIR)) $(COMFYUI_PYTHON) -m pytest --confcutdir=tests --ignore=tests/hosts/webui --ignore=tests/hosts/invokeai tests/hosts

# In a real Stable Diffusion WebUI (A1111, Forge, reForge, SD.Next), on its CPU and without a checkpoint, with the Python that runs
# it (it needs the same): make test-webui WEBUI_DIR=../stable-diffusion-webui WEBUI_PYTHON=../stable-diffusion-webui/venv/bin/python
WEBUI_PYTHON ?= python3
test-webui:
	WEBUI_DIR=$(abspath $(WEBUI_DIR)) $(WEBUI_PYTHON) -m pytest --confcutdir=tests tests/hosts/webui

# In a real InvokeAI, on its CPU and without a model, with the Python that it is installed in (the same is needed there):
# make test-invokeai INVOKEAI_PYTHON=../invokeai/.venv/bin/python
INVOKEAI_PYTHON ?= python3
test-invokeai:
	$(INVOKEAI_PYTHON) -m pytest --confcutdir=tests tests/hosts/invokeai

# Mutated files, weights and images, each for SECONDS; findings are kept in fuzz/: make fuzz SECONDS=600
SECONDS ?= 600
fuzz: $(VENV)/installed
	PYTHONPATH=. $(BIN)/python tests/checkpoints/fuzz.py --seconds $(SECONDS)
	$(BIN)/python tests/fuzz_image_files.py --seconds $(SECONDS)

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

clean:
	rm -rf $(VENV) demo
