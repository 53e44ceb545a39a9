"""Test the prefetching of batches."""

from seesaw_d2.data.images.prefetch import prefetched


def test_each_is_sent_before_the_one_in_front_is_given():
    events = []

    def send(batch):
        events.append(("sent", batch))

        def wait():
            events.append(("given", batch))
            return batch * 10

        return wait

    assert list(prefetched([1, 2, 3], send)) == [10, 20, 30]
    expected = [("sent", 1), ("sent", 2), ("given", 1), ("sent", 3), ("given", 2), ("given", 3)]
    assert events == expected
    assert list(prefetched([], send)) == []


def test_a_loader_counts_what_it_has_given(monkeypatch):
    """Test that a prefetched batch does not count as trained. A resumed run starts with this batch."""
    import torch

    from seesaw_d2.data.sampling import train_loader
    from seesaw_d2.data.sampling.epoch_samplers import UniformStream

    def build(**options):
        records = [{"image_id": index} for index in range(6)]
        return train_loader.TrainLoader(records, dict, UniformStream(6, seed=1), batch_size=2, **options)

    def two_of(loader):
        batches = iter(loader)
        return [next(batches), next(batches)], loader.num_images

    plain = two_of(build())
    monkeypatch.setattr(train_loader, "ToDevice", lambda device: lambda batch: lambda: batch)
    early = build(device=torch.device("meta"))
    early._options["pin_memory"] = False
    assert two_of(early) == plain
