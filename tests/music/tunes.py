"""MIDI files made by hand."""

import io

import mido

TICKS = 480


def midi(melody, chords=(), meter=(4, 4), channel=0):
    """(pitch, start, end) in sixteenths, fractions allowed, of two tracks -> content of a MIDI file."""
    score = mido.MidiFile(ticks_per_beat=TICKS)
    score.tracks.append(mido.MidiTrack([mido.MetaMessage("time_signature", numerator=meter[0], denominator=meter[1])]))
    for notes in (melody, chords):
        events = sorted(
            [(round(start * TICKS / 4), 1, pitch) for pitch, start, _ in notes]
            + [(round(end * TICKS / 4), 0, pitch) for pitch, _, end in notes]
        )
        track, now = mido.MidiTrack(), 0
        for place, on, pitch in events:
            kind = "note_on" if on else "note_off"
            track.append(mido.Message(kind, note=pitch, velocity=80, time=place - now, channel=channel))
            now = place
        score.tracks.append(track)
    stream = io.BytesIO()
    score.save(file=stream)
    return stream.getvalue()


def triad(root, start, end, minor=False):
    return [(root + step, start, end) for step in (0, 3 if minor else 4, 7)]


def tune(bars=4, transpose=0):
    """A tune of quarters over D and G, one chord a bar."""
    melody, chords = [], []
    for bar in range(bars):
        root = (50 if bar % 2 == 0 else 55) + transpose
        melody += [(root + 12 + step, 16 * bar + 4 * i, 16 * bar + 4 * i + 4) for i, step in enumerate((0, 4, 7, 4))]
        chords += triad(root, 16 * bar, 16 * bar + 16)
    return midi(melody, chords)
