package quality

// phrases are runs of up to five words by which answers refuse, in lower case,
// without apostrophes; each stands within a sentence.
const phrases = `
i must decline
i have to decline
i respectfully decline
i decline to
i refuse to
i am unable
im unable
i am not able
im not able
i am not capable
im not capable
i am not comfortable
im not comfortable
i dont feel comfortable
i do not feel comfortable
im afraid i
i am afraid i
i apologize but
i apologise but
my apologies but
im sorry but
i am sorry but
sorry but
im sorry i
i am sorry i
cannot fulfill
cant fulfill
cannot fulfil
cannot assist
cant assist
cannot help
cant help
cannot provide
cant provide
cannot comply
cant comply
cannot satisfy
cannot generate
cannot create
unable to assist
unable to help
unable to provide
unable to fulfill
unable to comply
not able to provide
not able to assist
not able to help
not programmed to
not within my capabilities
against my programming
against my guidelines
against ethical
violates my
as a responsible
as an ethical
as an ai language model
im just an ai
i am just an ai
i dont have the ability
i do not have the ability
i do not condone
i dont condone
do not condone
i strongly advise against
i strongly discourage
i would advise against
not appropriate to
not appropriate or
is not appropriate
not ethical to
not ethical or
not legal or
not acceptable to
is never acceptable
never acceptable
never okay to
never ok to
not okay to
not ok to
inappropriate to
unethical to
illegal and unethical
illegal or unethical
illegal and dangerous
harmful or illegal
is strictly prohibited
promote or encourage
encourage or promote
perpetuates harmful
harmful stereotypes
harmful or offensive
please refrain from
please do not attempt
instead i suggest
instead i can
personal information about
respect the privacy
respect their privacy
es tut mir leid
tut mir leid aber
leider kann ich
kann ich leider
ich kann nicht
kann dir dabei nicht
kann ihnen dabei nicht
kann ich nicht helfen
ich darf nicht
als ki
je ne peux pas
je ne suis pas en
je suis désolé
je suis désolée
désolé mais
désolée mais
désolé je
je refuse
je regrette
lo siento
no puedo ayudar
no puedo ayudarte
no puedo proporcionar
no puedo cumplir
no puedo responder
no me es posible
me es imposible
sinto muito
desculpe mas
não posso ajudar
não posso fornecer
não posso ajudá
não consigo ajudar
lamento mas
mi dispiace
non posso aiutar
non posso aiutarti
non posso fornire
non sono in grado
het spijt me
ik kan je niet
ik kan u niet
ik kan daar niet
kan ik niet helpen
jag kan inte
jag kan tyvärr
tyvärr kan jag
jeg kan ikke
jeg kan desværre
jeg kan dessverre
desværre kan jeg
beklager men
en voi auttaa
valitettavasti en
przykro mi
nie mogę pomóc
nie mogę udzielić
niestety nie mogę
bohužel nemohu
nemohu pomoci
omlouvám se ale
bohužiaľ nemôžem
sajnálom de
nem tudok segíteni
îmi pare rău
nu pot să
üzgünüm ancak
üzgünüm ama
yardımcı olamam
yardımcı olamıyorum
tôi không thể
rất tiếc
maaf saya
saya tidak bisa
saya tidak dapat
не могу помочь
я не могу
не могу предоставить
к сожалению я
извините но
я не можу
на жаль я
не мога да
съжалявам но
لا أستطيع
لا يمكنني
آسف
عذرا
متأسفم
نمی توانم
माफ़ कीजिए
क्षमा करें
मैं नहीं कर सकता
`

// denials are phrases too, unless one of excuses follows: I can't wait.
const (
	denials = `
i cannot
i cant
i can not
i wont
i will not
`
	excuses = `
wait
believe
imagine
stress
emphasize
emphasise
overstate
praise
stop
remember
complain
lie
resist
deny
`
)

// unspaced are what answers refuse with in languages that have no blanks between
// words, or endings glued to them.
var unspaced = []string{"很抱歉", "抱歉，", "对不起，", "我无法", "我不能", "無法提供", "无法提供", "無法協助", "无法协助", "無法回答", "无法回答",
	"申し訳ありません", "申し訳ございません", "お手伝いできません", "お答えできません", "提供できません", "できかねます", "お断り",
	"죄송합니다", "죄송하지만", "도와드릴 수 없", "도와 드릴 수 없", "제공할 수 없", "답변할 수 없", "ขออภัย", "ไม่สามารถช่วย", "ไม่สามารถให้"}
