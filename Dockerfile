# seesaw_d2 on a machine with NVIDIA GPUs (its driver and the NVIDIA Container Toolkit). No test of this project builds
# it. PyTorch's own index build brings CUDA along, so that a plain Python image will do; nothing is compiled.
#
#   docker build -t seesaw_d2 .
#   docker run --gpus all --shm-size 8g -v "$DETECTRON2_DATASETS:/data" -v "$PWD/output:/seesaw_d2/output" seesaw_d2 \
#       python train_net.py --config-file configs/seesaw/mask_rcnn_R_50_FPN_rfs_seesaw_2x.yaml --num-gpus 8
FROM python:3.12-slim

# What OpenCV's wheel loads, and make.
RUN apt-get update && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /seesaw_d2
ENV DETECTRON2_DATASETS=/data PIP_NO_CACHE_DIR=1 PATH=/seesaw_d2/.venv/bin:$PATH
# Environment, PyTorch, Detectron2 v0.6 from its source archive, this package.
COPY . .
RUN make setup
CMD ["python", "train_net.py", "--help"]
