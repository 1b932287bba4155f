# The workbook in a container, on a current Python, by an ordinary user. 8888 is bound to this machine's loopback
# address, so that nobody else on the network reaches it; open the address with its token, which is printed:
#   docker build -t deeplab-nb .
#   docker run --rm -p 127.0.0.1:8888:8888 deeplab-nb
#   docker run --rm deeplab-nb make run ENVIRONMENT=current
# On top of Ascend's image, whose TensorFlow 1.15 stays; cards and driver are handed in as the vendor says:
#   docker build -t deeplab-nb-ascend --build-arg IMAGE=ascend-tensorflow-arm:21.0.2 --build-arg BOOTSTRAP=--ascend .
#   docker run --rm deeplab-nb-ascend deeplab-nb doctor
# Neither was built so far: no container engine was at hand. The steps were run by hand, as an ordinary user.
ARG IMAGE=python:3.12-slim
FROM ${IMAGE}
ARG BOOTSTRAP=""
ARG READER=1000
ENV HOME=/home/reader PIP_NO_CACHE_DIR=1
RUN command -v make >/dev/null || { apt-get update && apt-get install -y --no-install-recommends make && \
    rm -rf /var/lib/apt/lists/*; }
RUN getent passwd ${READER} >/dev/null || useradd --uid ${READER} --home-dir /home/reader reader; \
    mkdir -p /home/reader/deeplab_nb && chown -R ${READER} /home/reader
USER ${READER}
WORKDIR /home/reader/deeplab_nb
COPY --chown=${READER} . .
RUN ENVIRONMENT=current sh bootstrap.sh ${BOOTSTRAP}
# one of the two is there; the other's folder is no matter
ENV PATH=/home/reader/deeplab_nb/.venv-current/bin:/home/reader/deeplab_nb/.venv/bin:${PATH}
ENV JUPYTER_PREFER_ENV_PATH=1
EXPOSE 8888
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--no-browser"]
