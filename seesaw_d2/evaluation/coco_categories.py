"""COCO's 80 categories as LVIS names them, by WordNet synset (lvis-api's data/coco_to_synset.json)."""

_NAMES = """
airplane.n.01 apple.n.01 backpack.n.01 bag.n.04 bag.n.06 ball.n.06 banana.n.02 baseball_bat.n.01 baseball_glove.n.01
bear.n.01 bed.n.01 beef.n.01 bench.n.01 bicycle.n.01 bird.n.01 boat.n.01 book.n.01 bottle.n.01 bowl.n.03 broccoli.n.01
bus.n.01 cake.n.03 car.n.01 carrot.n.01 cat.n.01 cellular_telephone.n.01 chair.n.01 clock.n.01 computer_keyboard.n.01
cup.n.01 dining_table.n.01 dog.n.01 doughnut.n.02 electric_refrigerator.n.01 elephant.n.01 fireplug.n.01 fork.n.01
frank.n.02 frisbee.n.01 giraffe.n.01 hand_blower.n.01 horse.n.01 kite.n.03 knife.n.01 laptop.n.01 microwave.n.02
motorcycle.n.01 mouse.n.04 necktie.n.01 orange.n.01 oven.n.01 parking_meter.n.01 person.n.01 pizza.n.01 pot.n.04
remote_control.n.01 sandwich.n.01 scissors.n.01 sheep.n.01 sink.n.01 skateboard.n.01 ski.n.01 snowboard.n.01 sofa.n.01
spoon.n.01 stop_sign.n.01 surfboard.n.01 teddy.n.01 television_receiver.n.01 tennis_racket.n.01 toaster.n.02
toilet.n.02 toothbrush.n.01 traffic_light.n.01 train.n.01 truck.n.01 umbrella.n.01 vase.n.01 wineglass.n.01 zebra.n.01
"""
COCO_SYNSETS = frozenset(_NAMES.split())
