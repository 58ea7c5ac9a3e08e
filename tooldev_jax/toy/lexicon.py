"""Words that values are made of.

Values are ordinary words, names, dates and numbers, because a small model
copies what its tokenizer knows as whole words far better than random strings
(a 1M-parameter probe reached 10-15 % exact calls on random multi-token values
where single-token words gave 50-58 %).
"""

FIRST_NAMES = tuple(
  "Alice Amir Anna Anton Aria Ben Bianca Boris Carla Carlos Chen Clara Daniel"
  " Diana Diego Elena Eli Emma Erik Fatima Felix Fiona Frank George Grace Hana"
  " Hassan Helen Henry Hugo Ida Igor Irene Isaac Ivy Jack James Jane Jonas Jun"
  " Karim Kate Kenji Laila Laura Leo Lily Linda Louis Lucas Maria Mark Marta"
  " Max Maya Mei Mia Milan Mona Nadia Nina Noah Nora Oliver Omar Oscar Paul"
  " Peter Petra Priya Rachel Ravi Rosa Ruth Sam Sara Sofia Stefan Tara Theo"
  " Thomas Tina Tom Uma Vera Victor Walter Wanda Yara Yuki Zoe".split()
)

LAST_NAMES = tuple(
  "Adams Allen Baker Bauer Becker Brooks Brown Carter Castro Clark Cohen Cole"
  " Cooper Costa Cruz Davis Diaz Evans Fischer Ford Foster Garcia Gomez Gray"
  " Green Hall Harris Hill Hughes Jones Kelly Khan King Klein Lee Lewis Lopez"
  " Martin Meyer Miller Moore Morgan Murphy Nelson Novak Ortiz Park Patel"
  " Perez Reed Rivera Rossi Santos Schmidt Silva Singh Smith Stone Tanaka"
  " Taylor Turner Walker Wang Ward Weber White Wilson Wood Wright Young".split()
)

CITIES = tuple(
  "Accra Amsterdam Athens Austin Baghdad Bangkok Barcelona Beijing Berlin"
  " Bogota Boston Brussels Budapest Cairo Chicago Copenhagen Dakar Dallas"
  " Delhi Denver Dubai Dublin Edinburgh Florence Geneva Hamburg Hanoi Havana"
  " Helsinki Houston Istanbul Jakarta Karachi Kyoto Lagos Lima Lisbon London"
  " Lyon Madrid Manila Melbourne Miami Milan Montreal Moscow Mumbai Munich"
  " Nairobi Naples Oslo Paris Perth Phoenix Porto Prague Quito Riga Rome"
  " Santiago Seattle Seoul Shanghai Singapore Stockholm Sydney Tokyo Toronto"
  " Tunis Turin Valencia Vancouver Venice Vienna Warsaw Zurich".split()
)

COUNTRIES = tuple(
  "Argentina Australia Austria Belgium Brazil Canada Chile China Colombia"
  " Denmark Egypt Finland France Germany Ghana Greece Hungary India Indonesia"
  " Ireland Italy Japan Kenya Mexico Morocco Nepal Norway Peru Poland Portugal"
  " Spain Sweden Thailand Turkey Vietnam".split()
)

WEEKDAYS = tuple(
  "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
)

MONTHS = tuple(
  "January February March April May June July August September October"
  " November December".split()
)

FOODS = tuple(
  "apples bananas beans beef bread butter carrots cheese chicken chocolate"
  " coffee cookies corn cream eggs fish flour garlic grapes ham honey juice"
  " lemons lentils lettuce mangos milk mushrooms noodles nuts olives onions"
  " oranges pasta peaches pears peas pepper pizza potatoes rice salad salmon"
  " salt soup spinach sugar tea tomatoes tuna yogurt".split()
)

ITEMS = tuple(
  "backpack bike blanket book bottle boots bowl box brush bucket camera candle"
  " chair clock coat cup desk drill fan fork gloves guitar hammer hat headphones"
  " helmet jacket kettle keyboard knife ladder lamp laptop mirror monitor mouse"
  " mug notebook oven painting pan pen phone piano pillow plate printer radio"
  " ring rope ruler scarf screen shirt shoes shovel skates sofa spoon sweater"
  " table tablet tent toaster towel toy umbrella vase wallet watch wheel".split()
)

ADJECTIVES = tuple(
  "ancient bitter blue bold brave bright broken calm clever cold crimson dark"
  " deep distant early electric empty endless faded final first frozen gentle"
  " golden grand hidden hollow last little lonely lost lucky midnight modern"
  " new northern old open pale perfect purple quiet rapid red royal secret"
  " sharp silent silver simple slow small soft southern strange summer sweet"
  " tall tiny true velvet warm wild winter".split()
)

NOUNS = tuple(
  "anchor arrow autumn bell bird bridge castle circle cloud coast comet corner"
  " crown dance dawn desert diamond dragon dream eagle echo ember falcon feather"
  " field fire flame flower forest fountain fox garden gate ghost glass harbor"
  " heart hill horizon horse island jungle lake leaf legend lion maple meadow"
  " mirror moon morning mountain night ocean orchard owl palace path pearl pine"
  " planet prairie rain raven river road rose sail sea shadow shore sky snow"
  " song spring star stone storm stream sun sunset swan thunder tide tiger"
  " tower trail valley wave whale willow wind window wolf".split()
)

TOPICS = tuple(
  "algebra animals architecture art astronomy baking ballet banking biology"
  " birds botany boxing camping cars chemistry chess climate coding cooking"
  " cricket cycling dancing democracy design drawing ecology economics energy"
  " fashion farming film fishing fitness football gardening geography geology"
  " golf grammar health hiking history hockey insurance investing jazz judo"
  " knitting law literature logic marketing mathematics medicine music"
  " mythology nutrition opera painting parenting philosophy photography physics"
  " poetry politics pottery psychology robotics rugby running sailing science"
  " sculpture sewing singing skiing sleep soccer space surfing swimming taxes"
  " tennis theater travel volcanoes weather wine wrestling writing yoga".split()
)

COLORS = tuple(
  "red blue green yellow black white orange purple pink brown gray silver"
  " gold".split()
)

LANGUAGES = tuple(
  "Arabic Bengali Chinese Czech Danish Dutch English Finnish French German"
  " Greek Hebrew Hindi Hungarian Italian Japanese Korean Norwegian Polish"
  " Portuguese Romanian Russian Spanish Swahili Swedish Thai Turkish Ukrainian"
  " Urdu Vietnamese".split()
)

CURRENCIES = ("USD", "EUR", "GBP", "JPY", "CHF", "INR", "CAD", "AUD", "BRL")

ANIMALS = tuple(
  "cat dog horse rabbit parrot hamster turtle goat sheep duck goose pony"
  " lizard snake goldfish".split()
)

COMPANIES = tuple(
  "Acme Apex Atlas Aurora Beacon Cedar Citadel Cobalt Delta Eclipse Everest"
  " Fusion Granite Helix Horizon Indigo Keystone Lotus Lumen Matrix Meridian"
  " Nimbus Nova Omega Orion Phoenix Pinnacle Quantum Summit Titan Vertex Zenith".split()
)

VERBS: dict[str, tuple[str, ...]] = {
  # Tool verb -> ways people say it. Shared by all splits, as a language is.
  "add": ("add", "put in", "include"),
  "analyze": ("analyze", "examine", "study"),
  "approve": ("approve", "accept", "confirm"),
  "archive": ("archive", "file away"),
  "assign": ("assign", "give", "allocate"),
  "book": ("book", "reserve", "arrange"),
  "buy": ("buy", "purchase", "order"),
  "calculate": ("calculate", "work out", "compute"),
  "cancel": ("cancel", "call off", "drop"),
  "check": ("check", "look at", "verify"),
  "clean": ("clean", "tidy", "wash"),
  "close": ("close", "shut"),
  "compare": ("compare", "weigh up"),
  "convert": ("convert", "change", "turn"),
  "copy": ("copy", "duplicate"),
  "count": ("count", "tally"),
  "create": ("create", "make", "set up"),
  "delete": ("delete", "remove", "erase"),
  "deliver": ("deliver", "bring", "ship"),
  "describe": ("describe", "explain"),
  "download": ("download", "save"),
  "estimate": ("estimate", "guess", "approximate"),
  "export": ("export", "output"),
  "find": ("find", "search for", "look for"),
  "get": ("get", "fetch", "show me"),
  "hire": ("hire", "employ", "take on"),
  "inspect": ("inspect", "go over"),
  "list": ("list", "enumerate", "show all"),
  "lock": ("lock", "secure"),
  "measure": ("measure", "gauge"),
  "move": ("move", "shift", "transfer"),
  "open": ("open", "bring up"),
  "paint": ("paint", "color"),
  "pause": ("pause", "halt"),
  "plan": ("plan", "prepare", "organize"),
  "play": ("play", "put on"),
  "print": ("print", "print out"),
  "publish": ("publish", "post", "release"),
  "rate": ("rate", "grade", "score"),
  "record": ("record", "log", "note down"),
  "rename": ("rename", "retitle"),
  "rent": ("rent", "lease"),
  "repair": ("repair", "fix", "mend"),
  "report": ("report", "notify about"),
  "request": ("request", "ask for"),
  "return": ("return", "send back"),
  "review": ("review", "assess"),
  "schedule": ("schedule", "plan in", "set a time for"),
  "sell": ("sell", "offer"),
  "send": ("send", "dispatch"),
  "share": ("share", "pass on"),
  "start": ("start", "begin", "launch"),
  "stop": ("stop", "end", "finish"),
  "subscribe": ("subscribe to", "sign up for"),
  "summarize": ("summarize", "sum up"),
  "test": ("test", "try out"),
  "track": ("track", "follow", "trace"),
  "translate": ("translate", "render"),
  "update": ("update", "change", "edit"),
  "upload": ("upload", "put online"),
}
