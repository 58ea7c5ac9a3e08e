"""Which things can be done to which objects, and what can be said of them.

Two worlds that share no domain and no tool: `BASE` makes the shipped tiny
base, `QUICKSTART` is what the quickstart adapts it to.
"""

import dataclasses
from collections.abc import Mapping

from tooldev_jax.toy.parameters import Parameter, quantity


@dataclasses.dataclass(frozen=True)
class Domain:
  """A field of life.

  Attributes:
    name: one word, used as a prefix by some tools.
    objects: nouns; the snake_case form is part of tool names.
    verbs: keys of lexicon.VERBS.
    parameters: names from `own` or `PARAMETERS`.
    own: parameters that only this domain knows.
  """

  name: str
  objects: tuple[str, ...]
  verbs: tuple[str, ...]
  parameters: tuple[str, ...]
  own: Mapping[str, Parameter] = dataclasses.field(default_factory=dict)

  def parameter(self, name: str) -> Parameter:
    """The parameter of this name."""
    return self.own[name] if name in self.own else PARAMETERS[name]


def _choice(
  name: str,
  label: str,
  description: str,
  choices: str,
  default: str | None = None,
) -> Parameter:
  return Parameter(
    name,
    label,
    description,
    "choice",
    choices=tuple(choices.split()),
    default=default,
  )


_PARAMETERS = (
  Parameter("city", "city", "Name of the city", "place"),
  Parameter("location", "location", "Where it is", "place"),
  Parameter("venue_city", "venue", "City of the venue", "place"),
  Parameter("origin", "origin", "City where it starts", "origin"),
  Parameter("departure", "departure", "Place of departure", "origin"),
  Parameter("destination", "destination", "City where it ends", "destination"),
  Parameter("arrival", "arrival", "Place of arrival", "destination"),
  Parameter("country", "country", "Name of the country", "country"),
  Parameter("market", "market", "Country of the market", "country"),
  Parameter("date", "date", "Day it takes place", "date"),
  Parameter("day", "day", "The day", "date"),
  Parameter("deadline", "deadline", "Last possible day", "date"),
  Parameter("due", "due date", "Day it is due", "date"),
  Parameter("time", "time", "Time of day", "time"),
  Parameter("start_time", "start time", "Time when it starts", "time"),
  Parameter("pickup_time", "pickup time", "Time of the pickup", "time"),
  Parameter("name", "name", "Name of the person", "person"),
  Parameter("user", "user", "Name of the user", "person"),
  Parameter("owner", "owner", "Who owns it", "person"),
  Parameter("recipient", "recipient", "Who receives it", "person"),
  Parameter("patient", "patient", "Name of the patient", "full_name"),
  Parameter("customer", "customer", "Full name of the customer", "full_name"),
  Parameter("author", "author", "Full name of the author", "full_name"),
  Parameter("artist", "artist", "Full name of the artist", "full_name"),
  Parameter("employee", "employee", "Full name of the employee", "full_name"),
  Parameter("title", "title", "Title of it", "title"),
  Parameter("project", "project", "Name of the project", "title"),
  Parameter("team", "team", "Name of the team", "title"),
  Parameter("label", "label", "Text of the label", "title"),
  Parameter("topic", "topic", "What it is about", "topic"),
  Parameter("subject", "subject", "Subject of it", "topic"),
  Parameter("keyword", "keyword", "Word to search for", "topic"),
  Parameter("category", "category", "Category of it", "topic"),
  Parameter("ingredient", "ingredient", "Main ingredient", "food"),
  Parameter("dish", "dish", "Name of the dish", "food"),
  Parameter("product", "product", "Name of the product", "item"),
  Parameter("item", "item", "Name of the item", "item"),
  Parameter("gift", "gift", "The gift to give", "item"),
  Parameter("color", "color", "Color of it", "color"),
  Parameter("language", "language", "Language of it", "language"),
  Parameter("company", "company", "Name of the company", "company"),
  Parameter("brand", "brand", "Name of the brand", "company"),
  Parameter("supplier", "supplier", "Company that supplies it", "company"),
  Parameter("animal", "animal", "Kind of animal", "animal"),
  quantity("guests", "number of guests", "How many guests", "guests"),
  quantity("nights", "nights", "How many nights", "nights", default=1),
  quantity("people", "number of people", "How many people", "people"),
  quantity("seats", "seats", "How many seats", "seats"),
  quantity("copies", "copies", "How many copies", "copies", default=1),
  quantity("quantity", "quantity", "How many pieces", "pieces"),
  quantity("hours", "hours", "Duration in hours", "hours"),
  quantity("minutes", "minutes", "Duration in minutes", "minutes", "amount"),
  quantity("days", "days", "Number of days", "days"),
  quantity("pages", "pages", "Number of pages", "pages", "amount"),
  quantity("limit", "limit", "Most results to return", "results", default=10),
  quantity("age", "age", "Age in years", "years", "amount"),
  quantity("budget", "budget", "Budget in dollars", "dollars", "amount"),
  quantity("price", "price", "Price in euros", "euros", "measure"),
  quantity("percent", "discount", "Discount in percent", "percent", "amount"),
  quantity(
    "distance", "distance", "Distance in kilometers", "kilometers", "measure"
  ),
  quantity("weight", "weight", "Weight in kilograms", "kilograms", "measure"),
  quantity("volume", "volume", "Volume in liters", "liters", "measure"),
  quantity("level", "level", "Level in percent", "percent", "amount"),
  quantity(
    "temperature", "temperature", "Degrees Celsius", "degrees", "measure"
  ),
  Parameter("breakfast", "breakfast", "Whether breakfast is included", "flag"),
  Parameter("insurance", "insurance", "Whether it is insured", "flag"),
  Parameter(
    "reminder", "reminder", "Whether to send a reminder", "flag", default=False
  ),
  Parameter(
    "gift_wrap", "gift wrap", "Whether to wrap it", "flag", default=False
  ),
  Parameter("subtitles", "subtitles", "Whether to show subtitles", "flag"),
  Parameter("shuffle", "shuffle", "Whether to shuffle", "flag", default=False),
  Parameter("alerts", "alerts", "Whether to send alerts", "flag"),
  Parameter(
    "backup", "backup", "Whether to keep a backup", "flag", default=True
  ),
  _choice("cabin", "cabin", "Class of travel", "economy business first"),
  _choice(
    "priority",
    "priority",
    "How urgent it is",
    "low normal high urgent",
    "normal",
  ),
  _choice("size", "size", "Size of it", "small medium large"),
  _choice("format", "format", "File format", "pdf csv html text"),
  _choice("unit", "unit", "Unit of the result", "metric imperial", "metric"),
  _choice("room_type", "room", "Type of room", "single double suite"),
  _choice("mode", "mode", "How to go there", "walking driving transit"),
  _choice(
    "genre", "genre", "Kind of entertainment", "comedy drama horror romance"
  ),
  _choice("status", "status", "State it is in", "open pending done"),
  _choice(
    "order",
    "order",
    "How results are sorted",
    "newest oldest cheapest",
    "newest",
  ),
  _choice(
    "quality", "quality", "Quality of it", "basic standard premium", "standard"
  ),
  _choice(
    "frequency", "frequency", "How often it repeats", "daily weekly monthly"
  ),
  _choice("difficulty", "difficulty", "How hard it is", "easy moderate hard"),
  _choice(
    "visibility", "visibility", "Who can see it", "public private", "private"
  ),
  Parameter("ingredients", "ingredients", "What goes into it", "foods"),
  Parameter("groceries", "groceries", "What to get", "foods"),
  Parameter("attendees", "attendees", "Who takes part", "people"),
  Parameter("members", "members", "Names of the members", "people"),
  Parameter("tags", "tags", "Words that describe it", "topics"),
  Parameter("interests", "interests", "Topics of interest", "topics"),
  Parameter(
    "contact",
    "contact",
    "Person to contact",
    "object",
    fields=(
      Parameter("name", "contact name", "Name of the contact", "person"),
      Parameter("city", "contact city", "City of the contact", "place"),
    ),
  ),
  Parameter(
    "address",
    "address",
    "Where to bring it",
    "object",
    fields=(
      Parameter("city", "city", "City of the address", "place"),
      Parameter("country", "country", "Country of the address", "country"),
    ),
  ),
  Parameter(
    "range",
    "range",
    "Smallest and largest value",
    "object",
    fields=(
      Parameter("low", "minimum", "Smallest value", "count"),
      Parameter("high", "maximum", "Largest value", "amount"),
    ),
  ),
)

PARAMETERS: Mapping[str, Parameter] = {p.name: p for p in _PARAMETERS}


def _domain(line: str) -> Domain:
  """'name: objects; verbs; parameters' as a Domain."""
  name, rest = line.split(":")
  objects, verbs, parameters = (part.split(",") for part in rest.split(";"))
  return Domain(
    name.strip(),
    tuple(o.strip() for o in objects),
    tuple(v.strip() for v in verbs),
    tuple(p.strip() for p in parameters),
  )


QUICKSTART = tuple(
  _domain(line)
  for line in """
hotel: room, stay, spa visit, conference hall, parking space; book, cancel, find, update, rate, check; city, date, nights, guests, breakfast, room_type, budget, name
flight: flight, seat upgrade, boarding pass, layover, baggage; book, cancel, track, find, compare, check; origin, destination, date, cabin, seats, insurance, customer
dining: table, restaurant, catering, menu, tasting; book, find, review, cancel, get, plan; city, date, time, guests, dish, budget, customer
music: song, playlist, concert, album, podcast; play, find, create, share, rate, download; artist, title, genre, shuffle, quality, tags, minutes
weather: forecast, storm warning, sunrise, air quality, pollen; get, check, subscribe, compare, summarize; city, date, unit, days, alerts, country
calendar: meeting, appointment, reminder, birthday, holiday; schedule, create, cancel, move, list, update; title, date, start_time, hours, attendees, priority, location
email: email, newsletter, draft, inbox, attachment; send, archive, find, delete, summarize, translate; recipient, subject, language, priority, date, limit
shopping: order, cart, coupon, wishlist, refund; create, track, cancel, return, compare, check; product, quantity, color, size, brand, gift_wrap, price
kitchen: recipe, meal, cake, shopping list, diet; create, find, plan, share, rate, print; ingredients, ingredient, people, minutes, difficulty, title
fitness: workout, run, swim, training plan, heart rate; record, plan, track, start, stop, analyze; minutes, distance, level, date, frequency, user
bank: payment, account, loan, transfer, invoice; create, approve, cancel, check, schedule, request; recipient, budget, date, frequency, company, reminder
news: headline, article, interview, editorial, press review; get, find, summarize, translate, share, subscribe; topic, country, language, limit, order, date
smart: lamp, heating, door, camera, alarm; open, close, lock, start, stop, check; location, level, time, temperature, mode, owner
taxi: ride, taxi, shuttle, chauffeur, carpool; book, cancel, track, estimate, share, rate; departure, arrival, pickup_time, people, priority, name
movie: movie, trailer, cinema ticket, series, actor; find, book, rate, review, play, describe; title, genre, city, time, seats, subtitles, language
school: course, exam, lecture, homework, tutor; find, schedule, create, review, plan; subject, date, hours, difficulty, language, employee
""".strip().split("\n")
)

BASE = tuple(
  _domain(line)
  for line in """
library: book, journal, reading room, map, archive; find, return, request, list, copy, review; author, title, topic, language, copies, pages, due
garden: tree, lawn, hedge, greenhouse, flower bed; measure, clean, plan, paint, inspect, repair; location, color, days, volume, owner, size, date
clinic: checkup, vaccine, blood test, prescription, surgery; schedule, cancel, record, request, review, approve; patient, date, time, age, weight, priority, reminder
pet: cat, dog walk, vet visit, kennel, aquarium; book, plan, find, clean, track, record; animal, owner, date, hours, weight, color, city
factory: machine, batch, shift, conveyor, inspection; start, stop, inspect, count, report, repair; product, quantity, level, temperature, supplier, date, status
farm: harvest, tractor, field, barn, irrigation; plan, rent, measure, start, estimate, repair; ingredient, volume, days, location, weight, hours, animal
office: printer, desk, badge, document, archive box; print, assign, request, copy, move, delete; employee, copies, format, color, date, label, priority
warehouse: shipment, pallet, shelf, parcel, stock; track, count, move, inspect, deliver, list; product, quantity, weight, destination, supplier, address, status
museum: exhibition, guided tour, statue, painting, audio guide; find, book, describe, rate, list, plan; artist, city, language, time, people, topic, date
sport: match, stadium, league, trainer, trophy; find, schedule, hire, rate, record; team, city, date, seats, members, level, start_time
realty: house, flat, garage, rent contract, viewing; find, buy, sell, rent, schedule, estimate; city, country, budget, range, size, date, customer
insurance: policy, claim, damage, contract, premium; create, update, cancel, estimate, review, approve; customer, price, date, company, percent, deadline, status
train: train, ticket, platform, rail pass, locomotive; book, find, cancel, check, track, compare; origin, destination, date, time, cabin, people, price
ship: ferry, cruise, harbor berth, cargo, lifeboat; book, track, inspect, find, rent, move; departure, arrival, date, nights, weight, insurance, company
research: paper, experiment, dataset, survey, patent; find, publish, analyze, summarize, review, share; author, topic, keyword, limit, language, tags, visibility
code: repository, branch, build, issue ticket, release; create, delete, close, start, list, rename; project, label, owner, priority, status, visibility, backup
photo: photo, slideshow, portrait, filter, photo book; upload, share, delete, print, rename; title, color, format, quality, copies, tags, date
video: video, channel, stream, clip, livestream; upload, start, stop, publish, pause, share; title, minutes, quality, subtitles, visibility, topic, user
chat: message, group, channel post, poll, status note; send, create, delete, pause, share, rename; recipient, members, topic, language, reminder, title, time
event: party, wedding, workshop, festival, ceremony; plan, create, cancel, publish, move, estimate; title, venue_city, date, guests, budget, attendees, start_time
gift: present, gift card, bouquet, basket, greeting card; buy, send, deliver, create, return, find; gift, recipient, price, gift_wrap, color, address, date
car: car, tire, car wash, test drive, license plate; rent, repair, inspect, sell, book, check; brand, color, days, distance, insurance, city, customer
energy: solar panel, battery, meter, power plant, wind turbine; measure, inspect, start, stop, estimate, compare; location, level, volume, unit, company, days, alerts
water: pool, well, water pipe, boiler, fountain; measure, clean, repair, inspect, open, close; location, volume, temperature, date, owner, hours, priority
tax: tax return, receipt, tax form, audit, deduction; create, calculate, send, review, request, archive; customer, country, price, deadline, format, company, percent
job: job offer, interview slot, candidate, internship, salary; find, create, schedule, compare, approve, close; company, city, employee, range, date, topic, frequency
game: game, puzzle, tournament, level pack, quiz; start, create, rate, pause, buy, find; title, difficulty, people, minutes, topic, language, user
stock: share price, portfolio, fund, bond, dividend; buy, sell, track, compare, analyze, estimate; company, quantity, price, market, alerts, frequency, range
map: route, district, landmark, trail, border; find, describe, plan, measure, share, download; origin, destination, mode, distance, unit, city, format
language: sentence, dictionary, lesson, vocabulary, essay; translate, create, review, find, summarize, test; language, topic, level, pages, author, difficulty, subject
fashion: dress, suit, fitting, costume, fabric; buy, rent, return, find, repair, compare; color, size, brand, price, customer, days, quality
charity: donation, fundraiser, volunteer, food drive, campaign; create, plan, find, request, report, publish; name, budget, groceries, city, country, date, contact
science: sample, telescope, laboratory, sensor, reaction; measure, test, record, book, analyze, compare; item, temperature, volume, time, project, unit, members
legal: contract clause, lawsuit, notary, trademark, hearing; review, schedule, create, archive, cancel, report; customer, company, deadline, country, topic, contact, pages
security: password, firewall, visitor, key card, safe; update, lock, create, check, report, test; user, level, alerts, days, backup, location, contact
store: inventory, discount, store shelf, checkout, supplier offer; update, count, create, list, compare, close; product, percent, brand, quantity, market, order, category
travel: trip, visa, suitcase, travel guide, excursion; plan, request, find, share, estimate, cancel; country, destination, days, interests, budget, date, people
baby: crib, nursery, babysitter, stroller, lullaby; find, hire, clean, buy, play, rate; name, hours, age, color, city, brand, time
art: sculpture, sketch, gallery, canvas, mural; create, paint, sell, describe, move, rate; artist, title, color, size, price, location, subject
radio: broadcast, station, interview tape, jingle, playlist slot; start, record, publish, schedule, find, stop; topic, title, time, minutes, frequency, language, category
""".strip().split("\n")
)

ALL = (*BASE, *QUICKSTART)
